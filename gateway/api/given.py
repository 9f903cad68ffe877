"""What routes are given: the services, who is asking, the place in a listing; declared once, so OpenAPI says it everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, Header, Path, Query, Request

from gateway.api.problems import MEDIA_TYPE, ProblemDetails
from gateway.api.shapes import ID_PATTERN
from gateway.errors import StoreError
from gateway.services.context import Services, operator
from gateway.services.cursors import CURSOR_MAX_CHARS
from gateway.services.pages import PAGE_DEFAULT, PAGE_MAX

DEFAULT_ACTOR: Final = "api"


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _in_time(request: Request) -> None:
    behind: Callable[[], bool] = request.app.state.behind
    if behind():
        raise StoreError(
            "the store is behind with what terminals report; what can be asked again waits: try again in some seconds",
            code="store_behind",
        )


def _actor(
    x_tillgate_actor: Annotated[
        str,
        Header(
            description="Name of the person or system on whose behalf this is asked; the ledger keeps it as `operator:<name>`."
        ),
    ] = DEFAULT_ACTOR,
) -> str:
    return operator(x_tillgate_actor)


Given = Annotated[Services, Depends(_services)]
#: For a route that costs much and can be asked again: 503 while the store does not keep up with the terminals.
InTime: Final = Depends(_in_time)
Actor = Annotated[str, Depends(_actor)]
Cursor = Annotated[
    str | None, Query(max_length=CURSOR_MAX_CHARS, description="`next` of the page before; none for the first page.")
]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Most items on one page.")]
PageLimit: Final = PAGE_DEFAULT

TerminalId = Annotated[str, Path(pattern=ID_PATTERN, description="Id of the terminal.")]
PackageId = Annotated[str, Path(pattern=ID_PATTERN, description="Id of the package.")]
CampaignId = Annotated[str, Path(pattern=ID_PATTERN, description="Id of the campaign.")]
UpgradeId = Annotated[str, Path(pattern=ID_PATTERN, description="Id of the upgrade.")]
OrderId = Annotated[str, Path(pattern=ID_PATTERN, description="Id of the order.")]

Responses = dict[int | str, dict[str, object]]


def problems(**by_status: str) -> Responses:
    """The failures of one route for OpenAPI: ``s404="…"``, every one a problem."""
    return {
        int(status[1:]): {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}}},
        }
        for status, description in by_status.items()
    }
