"""Fields and objects that several messages have."""

from __future__ import annotations

from tollhouse.authentication import VERSIONS
from tollhouse.threeds.condition import ALWAYS, given
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import Choice, Flag, Pattern, Text, Url, Uuid
from tollhouse.threeds.message import MessageType
from tollhouse.threeds.nesting import Anything, Array, Object

OLD = ("2.2.0",)
NEW = ("2.3.1",)


def numbered(first: int, last: int) -> tuple[str, ...]:
    """Two-digit values in a row."""
    return tuple(f"{number:02d}" for number in range(first, last + 1))


YES_NO = Choice(("Y", "N"))
TYPES = tuple(one.value for one in MessageType)
VERSION_NUMBER = Pattern(r"\d{1,2}\.\d{1,2}\.\d{1,2}", "version such as `2.2.0`", "2.2.0")

MESSAGE_TYPE = Field("messageType", Choice(TYPES), ALWAYS)
MESSAGE_VERSION = Field("messageVersion", Choice(VERSIONS), ALWAYS)
SERVER_ID = Field("threeDSServerTransID", Uuid(), ALWAYS)
ISSUER_ID = Field("acsTransID", Uuid(), ALWAYS)
DIRECTORY_ID = Field("dsTransID", Uuid(), ALWAYS)
CATEGORY = Field("messageCategory", Choice(("01", "02")), ALWAYS, note="01 payment, 02 something else")
ECI = Field("eci", Text(2, least=2))

_EXTENSION = Object(
    "message extension",
    (
        Field("name", Text(64), ALWAYS),
        Field("id", Text(64), ALWAYS),
        Field("criticalityIndicator", Flag(), ALWAYS, note="`true` is refused with 202: no extension is known"),
        Field("data", Anything(8059), ALWAYS),
    ),
)
EXTENSION = (
    Field("messageExtension", Array(_EXTENSION, most=10), versions=OLD),
    Field("messageExtension", Array(_EXTENSION, most=15), versions=NEW),
)

CARDHOLDER_INFO = Object(
    "cardholder information",
    (Field("text", Text(128, lines=True), ALWAYS), Field("issuerImage", Url()), Field("paymentSystemImage", Url())),
)

_SOURCE = Choice(("01", "02", "03"), scheme=True)  # 3DS server, directory server, issuer
_BOUND = numbered(1, 5) + numbered(11, 15)


def list_status(*values: str) -> tuple[Field, ...]:
    """Whether the payer trusts the merchant: the white list of 2.2.0, which is the trust list of 2.3.1."""
    return (
        Field("whiteListStatus", Choice(values), versions=OLD),
        Field("whiteListStatusSource", _SOURCE, given("whiteListStatus"), versions=OLD),
        Field("trustListStatus", Choice(values), versions=NEW),
        Field("trustListStatusSource", _SOURCE, given("trustListStatus"), versions=NEW),
    )


LIST_STATUS = list_status("Y", "N", "E", "P", "R", "U")
DEVICE_BINDING = (
    Field("deviceBindingStatus", Choice(_BOUND, scheme=True), versions=NEW),
    Field("deviceBindingStatusSource", _SOURCE, given("deviceBindingStatus"), versions=NEW),
)
SECURITY_CODE_STATUS = (
    Field("cardSecurityCodeStatus", Choice(("Y", "N", "U")), versions=NEW),
    Field("cardSecurityCodeStatusSource", _SOURCE, given("cardSecurityCodeStatus"), versions=NEW),
)
BROADCAST = Field("broadInfo", Anything(4096), versions=NEW)
