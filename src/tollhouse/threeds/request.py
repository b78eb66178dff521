"""AReq: the 3DS server asks the issuer, through the directory server, who the payer is."""

from __future__ import annotations

from tollhouse.threeds.condition import ALWAYS, BROWSER, PAYMENT, REQUESTOR, given, one_of
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import (
    Choice,
    Country,
    CurrencyNumber,
    Digits,
    Email,
    Flag,
    Ip,
    Moment,
    Pattern,
    Text,
    Url,
    Uuid,
)
from tollhouse.threeds.nesting import Anything, Array
from tollhouse.threeds.objects import (
    BROADCAST,
    CATEGORY,
    DEVICE_BINDING,
    EXTENSION,
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    NEW,
    OLD,
    SECURITY_CODE_STATUS,
    SERVER_ID,
    YES_NO,
    list_status,
    numbered,
)
from tollhouse.threeds.payer import (
    ACCOUNT,
    LOGIN,
    MERCHANT_RISK,
    MULTI_PAYMENT,
    PHONE,
    PRIOR_LOGIN,
    RECURRING,
    SELLER,
)

SCRIPTED = BROWSER & one_of("browserJavascriptEnabled", True)
RECURS = one_of("threeDSRequestorAuthenticationInd", "02", "03") | one_of("threeRIInd", "01", "02")
INSTALMENTS = one_of("threeDSRequestorAuthenticationInd", "03")
PRICED_OLD = PAYMENT | (
    one_of("threeDSRequestorAuthenticationInd", "02", "03")
    | one_of("threeRIInd", "01", "02", "06", "07", "08", "09", "11")
)
PRICED_NEW = PAYMENT | (
    one_of("threeDSRequestorAuthenticationInd", "02", "03", "07", "08", "09")
    | one_of("threeRIInd", "01", "02", "06", "07", "08", "09", "11", "15")
)
FIXED_DAYS = one_of("recurringInd.frequencyInd", "01")

_HEAD = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    CATEGORY,
    Field("deviceChannel", Choice(("02", "03")), ALWAYS, note="02 browser, 03 without the payer (3RI); 01 refused"),
    SERVER_ID,
    Field("threeDSServerRefNumber", Text(32), ALWAYS),
    Field("threeDSServerOperatorID", Text(32), note="some directory servers require it"),
    Field("threeDSServerURL", Url(), ALWAYS, note="where the RReq goes"),
    Field("dsTransID", Uuid(), note="added by the directory server"),
    Field("dsReferenceNumber", Text(32), given("dsTransID")),
    Field("dsURL", Url(), given("dsTransID")),
    *EXTENSION,
    BROADCAST,
)

_REQUESTOR = (
    Field("threeDSRequestorID", Text(35), ALWAYS),
    Field("threeDSRequestorName", Text(40), ALWAYS),
    Field("threeDSRequestorURL", Url(), ALWAYS),
    Field(
        "threeDSRequestorAuthenticationInd", Choice(numbered(1, 6), scheme=True), BROWSER, only=BROWSER, versions=OLD
    ),
    Field(
        "threeDSRequestorAuthenticationInd", Choice(numbered(1, 10), scheme=True), BROWSER, only=BROWSER, versions=NEW
    ),
    Field("threeRIInd", Choice(numbered(1, 11), scheme=True), REQUESTOR, only=REQUESTOR, versions=OLD),
    Field("threeRIInd", Choice(numbered(1, 19), scheme=True), REQUESTOR, only=REQUESTOR, versions=NEW),
    Field("threeDSRequestorAuthenticationInfo", LOGIN, only=BROWSER, versions=OLD),
    Field("threeDSRequestorAuthenticationInfo", Array(LOGIN, most=3), only=BROWSER, versions=NEW),
    Field("threeDSRequestorPriorAuthenticationInfo", PRIOR_LOGIN, versions=OLD),
    Field("threeDSRequestorPriorAuthenticationInfo", Array(PRIOR_LOGIN, most=3), versions=NEW),
    Field("threeDSReqAuthMethodInd", Choice(("01", "02", "03"), scheme=True), versions=OLD),
    Field("threeDSRequestorChallengeInd", Choice(numbered(1, 9), scheme=True), versions=OLD),
    Field("threeDSRequestorChallengeInd", Array(Choice(numbered(1, 14), scheme=True), most=2), versions=NEW),
    Field("threeDSRequestorDecReqInd", YES_NO, versions=OLD),
    Field("threeDSRequestorDecReqInd", Choice(("Y", "N", "F", "B")), versions=NEW),
    Field(
        "threeDSRequestorDecMaxTime",
        Digits(5, 5, low=1, high=10080),
        one_of("threeDSRequestorDecReqInd", "Y", "F", "B"),
        note="minutes",
    ),
    Field("threeDSRequestorSpcSupport", Choice(("Y",)), only=BROWSER, versions=NEW),
    Field("spcIncompInd", Choice(("01", "02", "03")), only=BROWSER, versions=NEW),
    Field("payeeOrigin", Url(), one_of("threeDSRequestorSpcSupport", "Y"), only=BROWSER, versions=NEW),
    Field("threeDSCompInd", Choice(("Y", "N", "U")), BROWSER, only=BROWSER),
    Field("threeDSMethodId", Uuid(), only=BROWSER, versions=NEW),
    Field("notificationURL", Url(256), BROWSER, only=BROWSER, note="where the CRes goes"),
    *list_status("Y", "N"),
    *DEVICE_BINDING,
    *SECURITY_CODE_STATUS,
)

_MERCHANT = (
    Field("acquirerBIN", Text(11), PAYMENT),
    Field("acquirerMerchantID", Text(35), PAYMENT),
    Field("acquirerCountryCode", Country(), ALWAYS, versions=NEW),
    Field("acquirerCountryCodeSource", Choice(("01", "02"), scheme=True), ALWAYS, versions=NEW),
    Field("mcc", Digits(4, 4), PAYMENT),
    Field("merchantCountryCode", Country(), PAYMENT),
    Field("merchantName", Text(40), PAYMENT),
    Field("merchantRiskIndicator", MERCHANT_RISK),
    Field("sellerInfo", Array(SELLER, most=50), versions=NEW),
    Field("multiTransaction", MULTI_PAYMENT, versions=NEW),
)


def _priced(name: str, form: Text | Digits | CurrencyNumber | Moment) -> tuple[Field, Field]:
    return Field(name, form, PRICED_OLD, versions=OLD), Field(name, form, PRICED_NEW, versions=NEW)


_SALE = (
    *_priced("purchaseAmount", Digits(1, 48)),
    *_priced("purchaseCurrency", CurrencyNumber()),
    *_priced("purchaseExponent", Digits(1, 1)),
    *_priced("purchaseDate", Moment("YYYYMMDDHHMMSS")),
    Field("purchaseInstalData", Digits(1, 3, low=2, high=999), INSTALMENTS, versions=OLD),
    Field("purchaseInstalData", Digits(1, 3, low=2, high=999), INSTALMENTS | one_of("threeRIInd", "02"), versions=NEW),
    Field("recurringExpiry", Moment("YYYYMMDD"), RECURS, versions=OLD),
    Field("recurringExpiry", Moment("YYYYMMDD"), versions=NEW),
    Field("recurringFrequency", Digits(1, 4, low=1, high=9999), RECURS, versions=OLD, note="days"),
    Field("recurringFrequency", Digits(1, 4, low=1, high=9999), FIXED_DAYS, versions=NEW, note="days"),
    Field("recurringInd", RECURRING, RECURS, versions=NEW),
    Field("recurringAmount", Digits(1, 48), versions=NEW, note="due where it differs from purchaseAmount"),
    Field("recurringCurrency", CurrencyNumber(), given("recurringAmount"), versions=NEW),
    Field("recurringExponent", Digits(1, 1), given("recurringAmount"), versions=NEW),
    Field("recurringDate", Moment("YYYYMMDD"), FIXED_DAYS, versions=NEW),
    Field("transType", Choice(("01", "03", "10", "11", "28"))),
)

_CARD = (
    Field("acctNumber", Digits(13, 19), ALWAYS, note="the PAN, or a token in its place"),
    Field("cardExpiryDate", Moment("YYMM"), note="some directory servers require it"),
    Field("acctType", Choice(("01", "02", "03"), scheme=True)),
    Field("acctID", Text(64)),
    Field("acctInfo", ACCOUNT),
    Field("payTokenInd", Flag(only_true=True)),
    Field("payTokenSource", Choice(("01", "02"), scheme=True), one_of("payTokenInd", True), versions=OLD),
    Field("payTokenSource", Choice(("01", "02", "03"), scheme=True), one_of("payTokenInd", True), versions=NEW),
    Field("payTokenInfo", Anything(4096), versions=NEW),
)


def _address(prefix: str) -> tuple[Field, ...]:
    return (
        Field(f"{prefix}AddrLine1", Text(50)),
        Field(f"{prefix}AddrLine2", Text(50)),
        Field(f"{prefix}AddrLine3", Text(50)),
        Field(f"{prefix}AddrCity", Text(50)),
        Field(f"{prefix}AddrPostCode", Text(16)),
        Field(f"{prefix}AddrState", Text(3), note="ISO 3166-2 without the country"),
        Field(f"{prefix}AddrCountry", Country(), given(f"{prefix}AddrState")),
    )


_CARDHOLDER = (
    Field("cardholderName", Text(45, least=2), versions=OLD),
    Field("cardholderName", Text(45), versions=NEW),
    Field("email", Email()),
    Field("homePhone", PHONE),
    Field("mobilePhone", PHONE),
    Field("workPhone", PHONE),
    *_address("bill"),
    *_address("ship"),
    Field("addrMatch", YES_NO, only=BROWSER),
    Field("taxId", Text(45), versions=NEW),
)

_BROWSER = (
    Field("browserAcceptHeader", Text(2048), BROWSER, only=BROWSER),
    Field("browserIP", Ip(), only=BROWSER, note="due unless the law forbids it"),
    Field("browserJavascriptEnabled", Flag(), BROWSER, only=BROWSER),
    Field("browserJavaEnabled", Flag(), SCRIPTED, only=BROWSER),
    Field("browserLanguage", Text(8), BROWSER, only=BROWSER, versions=OLD, note="BCP 47"),
    Field("browserLanguage", Text(35), SCRIPTED, only=BROWSER, versions=NEW, note="BCP 47"),
    Field("acceptLanguage", Array(Text(100), most=99), BROWSER, only=BROWSER, versions=NEW),
    Field(
        "browserColorDepth",
        Choice(("1", "4", "8", "15", "16", "24", "32", "48")),
        SCRIPTED,
        only=BROWSER,
        versions=OLD,
    ),
    Field("browserColorDepth", Digits(1, 2, low=1, high=99), SCRIPTED, only=BROWSER, versions=NEW),
    Field("browserScreenHeight", Digits(1, 6), SCRIPTED, only=BROWSER),
    Field("browserScreenWidth", Digits(1, 6), SCRIPTED, only=BROWSER),
    Field(
        "browserTZ",
        Pattern(r"[+-]?\d{1,4}", "minutes from local time to UTC: sign and 1–4 digits", "-180"),
        SCRIPTED,
        only=BROWSER,
    ),
    Field("browserUserAgent", Text(2048), BROWSER, only=BROWSER),
    Field("deviceId", Text(64), only=BROWSER, versions=NEW),
    Field("userId", Text(64), only=BROWSER, versions=NEW),
)

AREQ = (*_HEAD, *_REQUESTOR, *_MERCHANT, *_SALE, *_CARD, *_CARDHOLDER, *_BROWSER)
