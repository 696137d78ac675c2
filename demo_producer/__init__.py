"""A shop's customers, made up: Segment calls and Stripe webhooks as they would arrive, from a seed.

>>> from demo_producer import records
>>> first = next(records(seed=7, count=1_000))
>>> first.format, first.fault
('segment', None)

`records` gives the stream; every record says which customer it is about, so that a resolver's answer can be
held against the truth (`Truth`). `customer(seed, number)` tells all that a customer is ever known by. On the
command line: `python -m demo_producer --help`.

`journey` gives another stream, a story of fifty customers over five sources; `PARTS` says what it tells.
"""

from demo_producer.customers import Company, Customer, company, customer
from demo_producer.faults import Faults
from demo_producer.journeys import SPAN_MS, journey, people
from demo_producer.malformed import KINDS as MALFORMED_KINDS
from demo_producer.malformed import malformed_as
from demo_producer.parts import PARTS, Part
from demo_producer.production import START, records
from demo_producer.record import Record
from demo_producer.truth import Truth

__all__ = [
    "MALFORMED_KINDS",
    "PARTS",
    "SPAN_MS",
    "START",
    "Company",
    "Customer",
    "Faults",
    "Part",
    "Record",
    "Truth",
    "company",
    "customer",
    "journey",
    "malformed_as",
    "people",
    "records",
]
