"""A labelled set of personal data: the templates of presidio-evaluator, filled with its fictitious
people (Microsoft, MIT; the people are from FakeNameGenerator.com, CC BY-SA 3.0 US).

The package fills its templates with Faker; here the people themselves fill them. What they lack
(a card's whole number, an IBAN, an address on the internet) is made, with the check digits right.
A name, a street or a town is what its country writes, of 24 countries.
"""

import csv
import io
import random
import re
import string
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements" / "labelled.txt"
_FOLDER = "presidio_evaluator/data_generator/raw_data/"

_SLOT = re.compile(r"\{\{([a-z_]+)\}\}")

KINDS = {
    "PERSON": (
        "person name name_female name_male first_name first_name_male first_name_female"
        " first_name_nonbinary last_name last_name_male last_name_female"
    ),
    "STREET_ADDRESS": "address street_name building_number secondary_address postcode zipcode",
    "PLACE": "city country state_abbr",
    "ORGANIZATION": "organization",
    "NATIONALITY": "nationality nation_woman nation_plural",
    "TITLE": "prefix prefix_male prefix_female job",
    "DATE_TIME": "date_time date_of_birth year day_of_week",
    "AGE": "age",
    "CREDIT_CARD": "credit_card_number",
    "PHONE_NUMBER": "phone_number",
    "EMAIL_ADDRESS": "email",
    "URL": "url",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
    "IP_ADDRESS": "ip_address",
    "US_DRIVER_LICENSE": "us_driver_license",
}
_KIND_OF = {slot: kind for kind, slots in KINDS.items() for slot in slots.split()}

Person = dict[str, str]


@dataclass(frozen=True)
class Label:
    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Sentence:
    text: str
    labels: tuple[Label, ...]


class People:
    """The package's raw data."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            read = {
                Path(name).name: archive.read(name).decode("utf-8-sig")
                for name in archive.namelist()
                if name.startswith(_FOLDER) and name.endswith((".csv", ".txt"))
            }
        lines = read["templates.txt"].splitlines()
        self.templates = [line.replace("\\n", "\n") for line in lines if line.strip()]
        people = csv.DictReader(io.StringIO(read["FakeNameGenerator.com_3000.csv"]))
        self._people = list(people)
        self._organisations = read["companies_and_organizations.csv"].splitlines()[1:]
        self._nations = list(csv.DictReader(io.StringIO(read["nationalities.csv"])))

    def sentences(self, count: int, seed: int = 17) -> Iterator[Sentence]:
        """Each template in turn, filled with a person drawn anew; the same for the same seed."""
        draw = random.Random(seed)
        for number in range(count):
            yield self._filled(self.templates[number % len(self.templates)], draw)

    def _filled(self, template: str, draw: random.Random) -> Sentence:
        text, labels, last = "", [], 0
        for slot in _SLOT.finditer(template):
            text += template[last : slot.start()]
            value = self._value(slot[1], draw)
            labels.append(Label(len(text), len(text) + len(value), _KIND_OF[slot[1]]))
            text += value
            last = slot.end()
        return Sentence(text + template[last:], tuple(labels))

    def _value(self, slot: str, draw: random.Random) -> str:
        if slot == "organization":
            return draw.choice(self._organisations).strip()
        if slot.startswith("nation"):
            column = {"nation_woman": "woman", "nation_plural": "plural"}.get(slot, "nationality")
            return draw.choice(self._nations)[column].title()
        wanted = {"male": "male", "female": "female"}.get(slot.rpartition("_")[2])
        while True:
            person = draw.choice(self._people)
            if wanted in (None, person["Gender"]):
                return _SLOTS[slot](person, draw)


def fetched(folder: Path) -> Path:
    """The package's wheel, its hash checked; never installed."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    options = ["--quiet", "--require-hashes", "-r", str(LOCK), "-d", str(folder)]
    subprocess.run([*pip, *options], check=True)
    return next(folder.glob("presidio_evaluator-*.whl"))


def people() -> People:
    with tempfile.TemporaryDirectory() as folder:
        return People(fetched(Path(folder)))


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choice(string.digits) for _ in range(count))


def _name(person: Person, draw: random.Random) -> str:
    given, family = person["GivenName"], person["Surname"]
    middle = f"{person['MiddleInitial']}. "
    return draw.choice((f"{given} {family}", f"{given} {family}", f"{given} {middle}{family}"))


def _address(person: Person, draw: random.Random) -> str:
    parts = person["StreetAddress"], person["City"], person["ZipCode"], person["CountryFull"]
    return draw.choice(("{0}, {1}, {3} {2}", "{0}\n{1}\n{3} {2}", "{0} {1} {2}")).format(*parts)


def _street(person: Person, draw: random.Random) -> str:
    return re.sub(r"^\d+\s+|[\s,]+\d+\w?$", "", person["StreetAddress"])


def _card(person: Person, draw: random.Random) -> str:
    begin, size = ("4", 16) if person["CCType"] == "Visa" else (f"5{draw.randint(1, 5)}", 16)
    number = begin + _digits(draw, size - 1 - len(begin))
    doubled = [int(n) * (2 - place % 2) for place, n in enumerate(number)]
    number += str(-sum(n // 10 + n % 10 for n in doubled) % 10)
    groups = [number[place : place + 4] for place in range(0, 16, 4)]
    return draw.choice(("", "", "-", " ")).join(groups)


def _iban(person: Person, draw: random.Random) -> str:
    country, size = draw.choice((("DE", 18), ("GB", 0), ("CH", 17), ("ES", 20), ("AT", 16)))
    account = _digits(draw, size)
    if country == "GB":
        account = "".join(draw.choice(string.ascii_uppercase) for _ in range(4)) + _digits(draw, 14)
    as_number = "".join(str(int(one, 36)) for one in f"{account}{country}00")
    return f"{country}{98 - int(as_number) % 97:02d}{account}"


def _ip(person: Person, draw: random.Random) -> str:
    if draw.random() < 0.8:
        return ".".join(str(draw.randint(1, 254)) for _ in range(4))
    return ":".join(f"{draw.randrange(2**16):x}" for _ in range(8))


def _date(person: Person, draw: random.Random) -> str:
    month, day, year = person["Birthday"].split("/")
    return draw.choice((person["Birthday"], f"{year}-{int(month):02d}-{int(day):02d}"))


def _ssn(person: Person, draw: random.Random) -> str:
    area = draw.choice([number for number in range(1, 773) if number != 666])
    return f"{area:03d}-{draw.randint(1, 99):02d}-{draw.randint(1, 9999):04d}"


def _phone(person: Person, draw: random.Random) -> str:
    number = person["TelephoneNumber"]
    return draw.choice((number, f"+{person['TelephoneCountryCode']} {number}"))


def _licence(person: Person, draw: random.Random) -> str:
    return draw.choice(string.ascii_uppercase) + _digits(draw, draw.choice((7, 8, 12)))


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_SLOTS: dict[str, Callable[[Person, random.Random], str]] = {
    **dict.fromkeys(("person", "name", "name_female", "name_male"), _name),
    **{
        slot: lambda person, draw: person["GivenName"]
        for slot in _KIND_OF
        if slot.startswith("first_name")
    },
    **{
        slot: lambda person, draw: person["Surname"]
        for slot in _KIND_OF
        if slot.startswith("last_name")
    },
    **{
        slot: lambda person, draw: person["Title"] for slot in _KIND_OF if slot.startswith("prefix")
    },
    "address": _address,
    "street_name": _street,
    "building_number": lambda person, draw: str(draw.randint(1, 9999)),
    "secondary_address": lambda person, draw: f"Apt. {draw.randint(1, 999)}",
    "postcode": lambda person, draw: person["ZipCode"] or _digits(draw, 5),
    "zipcode": lambda person, draw: person["ZipCode"] or _digits(draw, 5),
    "city": lambda person, draw: person["City"],
    "country": lambda person, draw: person["CountryFull"],
    "state_abbr": lambda person, draw: person["State"] or "NY",
    "job": lambda person, draw: person["Occupation"],
    "date_time": _date,
    "date_of_birth": _date,
    "year": lambda person, draw: person["Birthday"].rpartition("/")[2],
    "day_of_week": lambda person, draw: draw.choice(_DAYS),
    "age": lambda person, draw: person["Age"],
    "credit_card_number": _card,
    "phone_number": _phone,
    "email": lambda person, draw: person["EmailAddress"],
    "url": lambda person, draw: f"https://www.{person['Domain']}/",
    "iban": _iban,
    "ssn": _ssn,
    "ip_address": _ip,
    "us_driver_license": _licence,
}
