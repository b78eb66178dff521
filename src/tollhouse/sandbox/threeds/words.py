"""What the issuer's pages say, in English and Russian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tollhouse.sandbox.threeds.challenges import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """All texts of one language."""

    language: str
    bank: str
    is_test: str
    title: str
    merchant: str
    amount: str
    card: str
    ask_code: str
    code: str
    submit: str
    resend: str
    cancel: str
    ask_app: str
    app: str
    approve: str
    decline: str
    thinking_title: str
    thinking: str
    stay_title: str
    stay: str
    done_title: str
    done: str
    go_on: str
    refused_title: str
    refused: str
    forgotten_title: str
    forgotten: str
    method_title: str
    method: str
    one_minute: str
    minutes: str
    decimal_point: str
    notices: Mapping[Notice, str]

    def time_left(self, seconds: float) -> str:
        """How long the payer has, in whole minutes."""
        minutes = max(1, round(seconds / 60))
        return self.one_minute if minutes == 1 else self.minutes.format(minutes=minutes)


ENGLISH = Words(
    language="en",
    bank="Sandbox Bank",
    is_test="only a test",
    title="Confirm your payment",
    merchant="To",
    amount="Amount",
    card="Card",
    ask_code="Enter the code that we sent to your phone. Here 1234 passes, 3333 fails.",
    code="One-time code",
    submit="Confirm",
    resend="Send a new code",
    cancel="Cancel the payment",
    ask_app="Open your bank's app and confirm the payment there.",
    app="This test bank has no app: these buttons play it.",
    approve="Confirm in the app",
    decline="Reject in the app",
    thinking_title="The bank is thinking",
    thinking="This takes longer than usual. This test card never gets an answer.",
    stay_title="The bank has answered",
    stay="The shop knows the result. This test card leaves you here: go back to the shop yourself.",
    done_title="Back to the shop",
    done="The bank has answered. If this page stays, press the button.",
    go_on="Continue",
    refused_title="This does not work",
    refused="The request from the shop cannot be used. Go back to the shop and start again.",
    forgotten_title="The bank has forgotten this check",
    forgotten="This test bank was restarted and no longer knows about this check. Nothing was decided and nothing was "
    "paid. Press “Try again” on the page around this one: you are then asked anew.",
    method_title="Checking the device",
    method="The bank looks at the device. If this page stays, press the button.",
    one_minute="You have about one minute.",
    minutes="You have about {minutes} minutes.",
    decimal_point=".",
    notices={
        Notice.NONE: "",
        Notice.CODE_EMPTY: "Enter the code first.",
        Notice.CODE_WRONG: "This code is wrong. Look at it again; after three wrong codes the payment fails.",
        Notice.CODE_SENT: "A new code was sent.",
    },
)

RUSSIAN = Words(
    language="ru",
    bank="Тестовый банк",
    is_test="только проверка",
    title="Подтвердите платёж",
    merchant="Кому",
    amount="Сумма",
    card="Карта",
    ask_code="Введите код, который мы отправили на ваш телефон. Здесь 1234 подходит, 3333 — нет.",
    code="Одноразовый код",
    submit="Подтвердить",
    resend="Отправить новый код",
    cancel="Отменить платёж",
    ask_app="Откройте приложение банка и подтвердите платёж в нём.",
    app="У тестового банка нет приложения: вместо него эти кнопки.",
    approve="Подтвердить в приложении",
    decline="Отклонить в приложении",
    thinking_title="Банк думает",
    thinking="Это дольше обычного. По этой тестовой карте ответа не будет.",
    stay_title="Банк ответил",
    stay="Магазин знает результат. Эта тестовая карта оставляет вас здесь: вернитесь в магазин сами.",
    done_title="Обратно в магазин",
    done="Банк ответил. Если страница не меняется, нажмите кнопку.",
    go_on="Продолжить",
    refused_title="Так не получится",
    refused="Запрос магазина нельзя принять. Вернитесь в магазин и начните снова.",
    forgotten_title="Банк забыл об этой проверке",
    forgotten="Тестовый банк был перезапущен и больше не знает об этой проверке. Ничего не решено и не оплачено. "
    "Нажмите «Попробовать ещё раз» на странице вокруг этой: вас спросят заново.",
    method_title="Проверка устройства",
    method="Банк смотрит на устройство. Если страница не меняется, нажмите кнопку.",
    one_minute="У вас около одной минуты.",
    minutes="Осталось минут: {minutes}.",
    decimal_point=",",
    notices={
        Notice.NONE: "",
        Notice.CODE_EMPTY: "Сначала введите код.",
        Notice.CODE_WRONG: "Код неверный. Проверьте его; после трёх неверных кодов платёж не пройдёт.",
        Notice.CODE_SENT: "Новый код отправлен.",
    },
)
_BY_LANGUAGE = {words.language: words for words in (ENGLISH, RUSSIAN)}


def words_for(accept_language: str) -> Words:
    """The language a browser would rather have (RFC 9110, 12.5.4); English where it asks for neither."""
    wished: list[tuple[float, Words]] = []
    for part in accept_language.split(","):
        tag, _, weight = part.partition(";")
        words = _BY_LANGUAGE.get(tag.strip().lower().partition("-")[0])
        if words is not None:
            wished.append((_weight(weight), words))
    best = max(wished, key=lambda one: one[0], default=(0.0, ENGLISH))
    return best[1] if best[0] > 0 else ENGLISH


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
