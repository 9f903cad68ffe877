"""The door to the broker, and the only user of aiomqtt: connections that mend themselves, a bounded inbox, a bounded way out.

``mqtt.MqttLink`` implements ``gateway.engine.ports.Link``; the runtime makes one for control and one for bulk. What a message
means is none of this package's business: topics and payloads pass through as they are.
"""

from __future__ import annotations

from gateway.link.mqtt import MqttLink
from gateway.link.settings import LinkSettings

__all__ = ["LinkSettings", "MqttLink"]
