"""What is believed: keys, signatures, signed orders and package manifests (docs/security.md).

Gateway and terminal share every rule here, so they cannot disagree on what to refuse. Pure: bytes in, objects or ``TrustError``
out; no clock, no files, no chance but that of making a key.
"""
