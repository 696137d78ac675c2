"""What the customers of the journey do, and what is done about them: each deed is one message of one source.

Brightloom sells an app with reports to shops. A shop's owner installs it, the owner and colleagues use it,
write to its support, meet its people, and the owner pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from demo_producer import gmail, google_calendar, names, segment, shopify, stripe
from demo_producer.calls import Call
from demo_producer.chance import digest_hex
from demo_producer.customers import EMPLOYEES, Customer, customer
from demo_producer.gmail import Mailbox
from demo_producer.google_calendar import Answer, Meeting, Status
from demo_producer.moments import Moment

Deed = Callable[[Customer, Moment], Call]

OURS = "brightloom.example"
SUPPORT = Mailbox("Brightloom Support", f"support@{OURS}")
SUCCESS = Mailbox("Mirela Holt", f"mirela.holt@{OURS}")
FIRST_REPORT = "First Report Created"
USES = ("Report Viewed", "Report Exported", "Dashboard Created")
_HOUR_MS = 3_600_000


def work(somebody: Customer) -> Mailbox:
    """The mailbox at the company, under the name that the mail program shows."""
    given = somebody.name.partition(" ")[0]
    return Mailbox(f"{given} ({somebody.company.name})", somebody.emails[_work(somebody)])


def home(somebody: Customer) -> Mailbox:
    """The mailbox at home, with a provider where everybody can have one."""
    return Mailbox(somebody.name, somebody.emails[1 - _work(somebody)])


def _work(somebody: Customer) -> int:
    return 0 if somebody.emails[0].endswith("@" + somebody.company.domain) else 1


# the shop


def installs(owner: Customer, moment: Moment) -> Call:
    """The owner installs the app in the shop."""
    return shopify.app_installed(owner, moment, _legal(owner))


def changes_plan(owner: Customer, moment: Moment) -> Call:
    """The shop goes to a larger plan of Shopify's."""
    return shopify.plan_changed(owner, moment, _legal(owner), "advanced")


def uninstalls(owner: Customer, moment: Moment) -> Call:
    """The owner throws the app out."""
    return shopify.app_uninstalled(owner, moment, _legal(owner))


def _legal(owner: Customer) -> Mailbox:
    return Mailbox(owner.name.upper(), work(owner).address)


# the app


def looks_around(somebody: Customer, moment: Moment) -> Call:
    """A stranger in a browser looks at a page."""
    return segment.page(somebody, moment, 0)


def opens(somebody: Customer, moment: Moment) -> Call:
    """Somebody with an account opens the app, which knows no address of theirs."""
    return segment.page(somebody, moment, 0, user_id=somebody.user_ids[0])


def signs_in(somebody: Customer, moment: Moment) -> Call:
    """Account, device and the address at work are one."""
    return segment.identify(somebody, moment, 0, _work(somebody))


def signs_in_elsewhere(somebody: Customer, moment: Moment) -> Call:
    """The same on a second device."""
    return segment.identify(somebody, moment, 1, _work(somebody))


def signs_in_from_home(somebody: Customer, moment: Moment) -> Call:
    """The same with the address at home."""
    return segment.identify(somebody, moment, 0, 1 - _work(somebody))


def makes_first_report(somebody: Customer, moment: Moment) -> Call:
    """What the setup is for."""
    return segment.did(somebody, moment, FIRST_REPORT)


def uses(somebody: Customer, moment: Moment) -> Call:
    """One of the things that the app is for."""
    return segment.did(somebody, moment, moment.chance.one_of(USES))


# money


def becomes_payer(somebody: Customer, moment: Moment) -> Call:
    """Stripe learns of a customer."""
    return stripe.customer_created(somebody, moment, _work(somebody))


def starts_trial(somebody: Customer, moment: Moment) -> Call:
    """Two weeks that cost nothing."""
    return stripe.trial_started(somebody, moment)


def pays(somebody: Customer, moment: Moment) -> Call:
    """A month is paid."""
    return stripe.invoice_paid(somebody, moment, _work(somebody))


def pays_for_three(somebody: Customer, moment: Moment) -> Call:
    """A month is paid, and two seats more."""
    return stripe.invoice_paid(somebody, moment, _work(somebody), seats=3)


def fails_to_pay(somebody: Customer, moment: Moment) -> Call:
    """The card is declined."""
    return stripe.payment_failed(somebody, moment, _work(somebody))


def cancels(somebody: Customer, moment: Moment) -> Call:
    """The subscription ends."""
    return stripe.subscription_deleted(somebody, moment)


# mail


def asks(topic: str, copies: Sequence[int] = (), *, from_home: bool = False) -> Deed:
    """A mail to the support; colleagues in these seats get a copy."""

    def deed(somebody: Customer, moment: Moment) -> Call:
        sender = home(somebody) if from_home else work(somebody)
        text = f"Hello,\n\n{topic.lower()} gives us trouble. Can you help?\n\n{somebody.name}"
        return _mail(somebody, moment, topic, sender, [SUPPORT], copies, text)

    return deed


def is_answered(topic: str, copies: Sequence[int] = (), *, at_home: bool = False) -> Deed:
    """The support's answer."""

    def deed(somebody: Customer, moment: Moment) -> Call:
        receiver = home(somebody) if at_home else work(somebody)
        text = f"Hello {somebody.name},\n\nthis is fixed.\n\n{SUPPORT.name}"
        return _mail(somebody, moment, f"Re: {topic}", SUPPORT, [receiver], copies, text)

    return deed


def _mail(
    somebody: Customer,
    moment: Moment,
    subject: str,
    sender: Mailbox,
    to: Sequence[Mailbox],
    copies: Sequence[int],
    text: str,
) -> Call:
    topic = subject.removeprefix("Re: ")
    return gmail.mail(
        sender,
        to,
        moment,
        thread=digest_hex(somebody.seed, "thread", somebody.number, topic)[:16],
        subject=subject,
        text=text,
        cc=[work(colleague(somebody, seat)) for seat in copies],
    )


def colleague(somebody: Customer, seat: int) -> Customer:
    """Who sits there in the same company; the owner has seat 0."""
    return customer(somebody.seed, somebody.company.number * EMPLOYEES + seat)


# meetings


def is_invited(topic: str, seats: Sequence[int], in_hours: float) -> Deed:
    """A meeting with the people in these seats, so long from now."""
    return _meeting(topic, seats, in_hours, "confirmed", "needsAction")


def has_met(topic: str, seats: Sequence[int], in_hours: float) -> Deed:
    """The meeting as the calendar has it afterwards; it began so many hours from now, so fewer than none."""
    return _meeting(topic, seats, in_hours, "confirmed", "accepted")


def is_called_off(topic: str, seats: Sequence[int], in_hours: float) -> Deed:
    """The meeting that was to be so long from now is cancelled."""
    return _meeting(topic, seats, in_hours, "cancelled", "declined")


def _meeting(topic: str, seats: Sequence[int], in_hours: float, status: Status, answer: Answer) -> Deed:
    def deed(somebody: Customer, moment: Moment) -> Call:
        meeting_id = digest_hex(somebody.seed, "meeting", somebody.number, topic)
        guests = [work(colleague(somebody, seat)) for seat in seats]
        start_ms = moment.at_ms + int(in_hours * _HOUR_MS)
        agreed = Meeting(meeting_id, f"{topic} · {names.PAGES[0][1]}", SUCCESS, guests, start_ms)
        return google_calendar.meeting(agreed, moment, status, answer)

    return deed
