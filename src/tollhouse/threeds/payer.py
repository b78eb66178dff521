"""Objects of an AReq: what is told of the payer, of earlier logins, of the sale and its sellers."""

from __future__ import annotations

from tollhouse.threeds.condition import ALWAYS
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import Choice, Country, CurrencyNumber, Digits, Email, Moment, Text
from tollhouse.threeds.nesting import Array, Object
from tollhouse.threeds.objects import NEW, OLD, numbered

_DAY = Moment("YYYYMMDD")
_MINUTE = Moment("YYYYMMDDHHMM")

PHONE = Object("phone", (Field("cc", Digits(1, 3), ALWAYS), Field("subscriber", Digits(1, 15), ALWAYS)))

ACCOUNT = Object(
    "account at the merchant",
    (
        Field("chAccAgeInd", Choice(numbered(1, 5))),
        Field("chAccDate", _DAY),
        Field("chAccChangeInd", Choice(numbered(1, 4))),
        Field("chAccChange", _DAY),
        Field("chAccPwChangeInd", Choice(numbered(1, 5))),
        Field("chAccPwChange", _DAY),
        Field("shipAddressUsageInd", Choice(numbered(1, 4))),
        Field("shipAddressUsage", _DAY),
        Field("txnActivityDay", Digits(1, 3)),
        Field("txnActivityYear", Digits(1, 3)),
        Field("provisionAttemptsDay", Digits(1, 3)),
        Field("nbPurchaseAccount", Digits(1, 4)),
        Field("suspiciousAccActivity", Choice(("01", "02"))),
        Field("shipNameIndicator", Choice(("01", "02"))),
        Field("paymentAccInd", Choice(numbered(1, 5))),
        Field("paymentAccAge", _DAY),
        Field("chAccReqID", Text(64), versions=NEW),
    ),
)

LOGIN = Object(
    "login at the merchant",
    (
        Field("threeDSReqAuthMethod", Choice(numbered(1, 8), scheme=True), versions=OLD),
        Field("threeDSReqAuthMethod", Choice(numbered(1, 9), scheme=True), versions=NEW),
        Field("threeDSReqAuthTimestamp", _MINUTE),
        Field("threeDSReqAuthData", Text(20000)),
    ),
)

PRIOR_LOGIN = Object(
    "earlier authentication",
    (
        Field("threeDSReqPriorRef", Text(36), note="acsTransID of that authentication"),
        Field("threeDSReqPriorAuthMethod", Choice(numbered(1, 4), scheme=True), versions=OLD),
        Field("threeDSReqPriorAuthMethod", Choice(numbered(1, 5), scheme=True), versions=NEW),
        Field("threeDSReqPriorAuthTimestamp", _MINUTE),
        Field("threeDSReqPriorAuthData", Text(2048)),
    ),
)

MERCHANT_RISK = Object(
    "merchant's view of the risk",
    (
        Field("shipIndicator", Choice(numbered(1, 7), scheme=True), versions=OLD),
        Field("shipIndicator", Choice(numbered(1, 9), scheme=True), versions=NEW),
        Field("deliveryTimeframe", Choice(numbered(1, 4))),
        Field("deliveryEmailAddress", Email()),
        Field("reorderItemsInd", Choice(("01", "02"))),
        Field("preOrderPurchaseInd", Choice(("01", "02"))),
        Field("preOrderDate", _DAY),
        Field("giftCardAmount", Digits(1, 15), note="major units"),
        Field("giftCardCurr", CurrencyNumber()),
        Field("giftCardCount", Digits(2, 2)),
        Field("transChar", Array(Choice(("01", "02")), most=2), versions=NEW),
    ),
)

RECURRING = Object(
    "recurring payment",
    (
        Field("amountInd", Choice(("01", "02"), scheme=True), ALWAYS, note="01 fixed, 02 variable"),
        Field("frequencyInd", Choice(("01", "02"), scheme=True), ALWAYS, note="01 fixed, 02 variable"),
    ),
)

SELLER = Object(
    "seller",
    (
        Field("sellerName", Text(100), ALWAYS),
        Field("sellerId", Text(50)),
        Field("sellerBusinessName", Text(100)),
        Field("sellerAccDate", _DAY),
        Field("sellerAddrLine1", Text(50)),
        Field("sellerAddrLine2", Text(50)),
        Field("sellerAddrLine3", Text(50)),
        Field("sellerAddrCity", Text(50)),
        Field("sellerAddrState", Text(3)),
        Field("sellerAddrPostCode", Text(16)),
        Field("sellerAddrCountry", Country()),
        Field("sellerEmail", Email()),
        Field("sellerPhone", PHONE),
    ),
)

_LISTED_MERCHANT = Object(
    "listed merchant",
    (
        Field("merchantNameListed", Text(40), ALWAYS),
        Field("acquirerMerchantIdListed", Text(35)),
        Field("merchantAmount", Digits(1, 48)),
        Field("merchantCurrency", CurrencyNumber()),
        Field("merchantExponent", Digits(1, 1)),
        Field("sellerId", Text(50)),
    ),
)
MULTI_PAYMENT = Object(
    "several payments",
    (
        Field("merchantList", Array(_LISTED_MERCHANT, most=50), ALWAYS),
        Field("avValidityTime", Digits(1, 2)),
        Field("avNumberUse", Digits(1, 3)),
    ),
)
