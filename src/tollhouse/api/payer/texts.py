"""What the payer's page says, in English and Russian."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tollhouse.money import CURRENCIES, Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """All texts of one language, and how it writes amounts."""

    language: str
    decimal_point: str
    thousands_mark: str
    title: str
    banner: str
    to: str
    amount: str
    time_left: str
    promise: str
    begin: str
    wait: str
    challenge: str
    returned: str
    blocked: str
    decoupled: str
    over: str
    offline: str
    late: str
    minutes_left: str
    retry_hint: str
    retry: str
    frame_title: str
    method_title: str
    go_on: str
    begin_plain: str
    challenge_plain: str
    wait_plain: str
    signal: str
    end_title: str
    end: str
    missing_title: str
    missing: str
    busy_title: str
    busy: str
    failed_title: str
    failed: str
    refused_title: str
    refused: str

    def money(self, money: Money) -> str:
        """The amount as people of this language read it, with the currency's letters."""
        exponent = CURRENCIES[money.currency].exponent
        digits = str(money.minor).rjust(exponent + 1, "0")
        major, fraction = (digits[:-exponent], self.decimal_point + digits[-exponent:]) if exponent else (digits, "")
        return f"{int(major):,}".replace(",", self.thousands_mark) + f"{fraction} {money.currency.upper()}"

    def for_script(self) -> dict[str, str]:
        """Those that the page's script says."""
        return {name: text for name, text in asdict(self).items() if name in SCRIPT_TEXTS}


SCRIPT_TEXTS = frozenset(
    (
        "begin",
        "wait",
        "challenge",
        "returned",
        "blocked",
        "decoupled",
        "over",
        "offline",
        "late",
        "minutes_left",
        "frame_title",
        "method_title",
    )
)

ENGLISH = Texts(
    language="en",
    decimal_point=".",
    thousands_mark=",",
    title="Confirm your payment",
    banner="Secure card payment",
    to="To",
    amount="Amount",
    time_left="Time left",
    promise="What you enter on your bank’s page is seen by your bank only.",
    begin="Connecting to your bank. This takes a few seconds.",
    wait="Asking your bank whether you need to confirm this payment.",
    challenge="Your bank wants to be sure that it is you. Follow the steps on its page below.",
    returned="Your bank’s page is finished. We are checking the result.",
    blocked="Your bank’s page cannot be opened here.",
    decoupled="Your bank will ask you to confirm this payment, for example in its app. "
    "Do so, and this page goes on by itself.",
    over="Done. Taking you back to the shop.",
    offline="No connection at the moment. Nothing is lost: this page goes on by itself once you are online.",
    late="The time is over. We are checking how your payment stands.",
    minutes_left="Minutes left: {minutes}",
    retry_hint="Something not working?",
    retry="Try again",
    frame_title="Your bank’s page: confirm that it is you",
    method_title="Your bank’s check of this device",
    go_on="Continue",
    begin_plain="Your bank may ask you to confirm this payment. Press Continue to find out; it may take some seconds.",
    challenge_plain="Your bank wants to be sure that it is you. Press Continue to open its page.",
    wait_plain="This page renews itself every few seconds.",
    signal="Your bank’s page is finished. One moment, please.",
    end_title="You are finished here",
    end="Nothing is left to do on this page, and you may close it. The shop will tell you how your payment went.",
    missing_title="This link does not lead to a payment",
    missing="It may be incomplete. Go back to the shop and start the payment from there.",
    busy_title="Too many requests",
    busy="This page was opened very often in a short time. Wait a minute, then try again. "
    "Your payment is not affected.",
    failed_title="This does not work at the moment",
    failed="The fault is ours. Wait a little, then try again. Your payment is not affected.",
    refused_title="This request cannot be used",
    refused="Go back to your payment and continue from there.",
)

RUSSIAN = Texts(
    language="ru",
    decimal_point=",",
    thousands_mark="\u00a0",
    title="Подтвердите платёж",
    banner="Защищённая оплата картой",
    to="Кому",
    amount="Сумма",
    time_left="Осталось",
    promise="То, что вы вводите на странице банка, видит только ваш банк.",
    begin="Связываемся с вашим банком. Это займёт несколько секунд.",
    wait="Узнаём у вашего банка, нужно ли подтверждать платёж.",
    challenge="Банк хочет убедиться, что это вы. Следуйте указаниям на его странице ниже.",
    returned="Страница банка завершена. Проверяем результат.",
    blocked="Страницу вашего банка не удаётся открыть.",
    decoupled="Банк попросит вас подтвердить платёж, например в своём приложении. "
    "Подтвердите, и страница обновится сама.",
    over="Готово. Возвращаем вас в магазин.",
    offline="Сейчас нет связи. Ничего не потеряно: страница продолжит сама, когда связь появится.",
    late="Время вышло. Проверяем, что с вашим платежом.",
    minutes_left="Осталось минут: {minutes}",
    retry_hint="Что-то не работает?",
    retry="Попробовать ещё раз",
    frame_title="Страница вашего банка: подтвердите, что это вы",
    method_title="Проверка устройства вашим банком",
    go_on="Продолжить",
    begin_plain="Банк может попросить вас подтвердить платёж. Нажмите «Продолжить»; "
    "проверка может занять несколько секунд.",
    challenge_plain="Банк хочет убедиться, что это вы. Нажмите «Продолжить», чтобы открыть его страницу.",
    wait_plain="Страница обновляется сама каждые несколько секунд.",
    signal="Страница банка завершена. Секунду, пожалуйста.",
    end_title="Здесь всё готово",
    end="На этой странице больше ничего не нужно делать, её можно закрыть. О результате платежа сообщит магазин.",
    missing_title="По этой ссылке нет платежа",
    missing="Возможно, она неполная. Вернитесь в магазин и начните оплату оттуда.",
    busy_title="Слишком много запросов",
    busy="Страницу слишком часто открывали за короткое время. Подождите минуту и попробуйте ещё раз. "
    "На платёж это не влияет.",
    failed_title="Сейчас не получается",
    failed="Ошибка на нашей стороне. Подождите немного и попробуйте ещё раз. На платёж это не влияет.",
    refused_title="Этот запрос нельзя принять",
    refused="Вернитесь к платежу и продолжите оттуда.",
)
_BY_LANGUAGE = {texts.language: texts for texts in (ENGLISH, RUSSIAN)}


def texts_for(accept_language: str) -> Texts:
    """The language that a browser would rather have (RFC 9110, 12.5.4); English where it asks for neither."""
    best, best_weight = ENGLISH, 0.0
    for part in accept_language.split(","):
        tag, _, parameter = part.partition(";")
        texts = _BY_LANGUAGE.get(tag.strip().lower().partition("-")[0])
        weight = _weight(parameter)
        if texts is not None and weight > best_weight:
            best, best_weight = texts, weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
