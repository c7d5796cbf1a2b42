"""Questions, and what they ask for: a person, a place, a time or a number. `python -m tools.questions [FOLDER]`.

Sentences are templates with words drawn into their gaps, and all four kinds draw from the same words: what a
question is about says nothing of what it asks for, how it is asked does. The test part has templates of its own, none
of which is in the training part.

Writes `questions_train.tsv` and `questions_test.tsv`, columns `label` and `text`, for
`striate train text_cnn --data questions_train.tsv`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from striate.runtime.files import atomic_write
from striate.runtime.random import derive, uniform

__all__ = ["FOLDER", "PARTS", "questions", "write"]

FOLDER = Path(__file__).resolve().parents[1] / "examples"
SEED = 1

WORDS = {
    "made": """built painted designed repaired opened sold moved found bought cleaned planned saved closed finished
        guarded covered studied decorated ordered described""",
    "thing": """bridge tower house school museum theatre boat engine garden clock map church hotel market wall statue
        road piano lamp kitchen station library fountain tunnel castle farm mill harbour stage window""",
    "adj": """old new red tall famous small wooden broken white long strange beautiful round blue heavy lost golden
        quiet modern narrow""",
    "person": """baker queen pilot captain teacher doctor painter farmer singer student driver neighbour nurse mayor
        actor writer tailor sailor gardener judge""",
    "event": """concert race war festival meeting wedding storm flood strike parade exam game trip lesson fire
        election party sale dinner film""",
    "city": "lima oslo cairo paris rome delhi quito tokyo lisbon dublin boston berlin",
    "many": """bridges windows boats horses letters songs trees apples chairs rooms books bottles tickets bells birds
        shoes candles stamps pages coins""",
    "act": "sleep sing dance work wait swim read cook train rest play practise",
    "begin": "begin end start finish",
}
"""What goes into the gaps."""

TRAIN = {
    "person": """
        who {made} the {adj} {thing}
        who {made} the {thing} in {city}
        who was the {person} that {made} the {thing}
        who was with the {person} at the {event}
        who won the {event} in {city}
        who owns the {adj} {thing}
        whose {thing} was {made} after the {event}
        which {person} {made} the {thing}
        which {person} came to the {event}
        what is the name of the {person} who {made} the {thing}
        what was the {person} in {city} called
        tell me who {made} the {adj} {thing}
        by whom was the {thing} {made}
        do you know who paid for the {event}
        who was king when the {thing} was {made}
        who lives in the {adj} {thing} in {city}
        who told the {person} about the {event}
        to whom does the {adj} {thing} belong
        name the {person} who {made} ten {many}
        who counted the {many} in the {thing}
        i want to know who {made} the {thing} and why
        who taught the {person} to {act}
        the {thing} was {made} by whom
        who still remembers where the {thing} was
        who knows when the {event} will {begin}
        who can say how many {many} there are
    """,
    "place": """
        where is the {adj} {thing}
        where was the {thing} {made}
        where did the {person} {act}
        where can i buy {many}
        where does the {person} live
        where will the {event} be
        in which city is the {adj} {thing}
        in which country was the {person} born
        in what town did the {event} take place
        which city has the most {many}
        which country did the {person} come from
        tell me where the {person} {made} the {thing}
        what place did the {person} leave after the {event}
        from which town came the {many}
        what is the name of the street with the {adj} {thing}
        to which city did the {person} travel
        do you know where the {many} are kept
        near which river stands the {thing}
        where were you when the {event} began
        where was the {person} who {made} the {thing}
        where do people {act} in {city}
        what is the capital of the country of the {person}
        on which street can i find the {thing}
        i want to know where the {person} went
        where are the ten {many} now
        where do they know how old the {thing} is
    """,
    "time": """
        when was the {adj} {thing} {made}
        when did the {event} {begin}
        when will the {person} come to {city}
        when does the {thing} open
        in which year was the {thing} {made}
        in what year did the {person} leave {city}
        what year was the {event} in {city}
        on which day does the {person} {act}
        at what time does the {event} {begin}
        what time is the {event}
        what day is the {event} in {city}
        which month is best for the {event}
        tell me when the {person} {made} the {thing}
        since when has the {person} lived in {city}
        until when is the {thing} open
        what was the date of the {event}
        do you know when the {many} will arrive
        in which century was the {adj} {thing} {made}
        when did people stop buying {many}
        when was the {person} born
        in which season do they sell {many}
        what hour does the {thing} close
        i want to know when the {event} was
        by what date must the {thing} be {made}
        when is the {person} who {made} the {thing} free
        when did they count how many {many} there are
    """,
    "number": """
        how many {many} are in the {thing}
        how many {many} did the {person} buy
        how many people came to the {event}
        how much did the {adj} {thing} cost
        how much does the {person} pay for {many}
        how old is the {person}
        how tall is the {adj} {thing}
        how far is the {thing} from {city}
        how long is the {thing} in metres
        what is the number of {many} in {city}
        what number of {many} did the {person} count
        what is the price of the {adj} {thing}
        how high is the {thing} in {city}
        tell me how many {many} were {made}
        how often did the {person} {act} last year
        how heavy is the {adj} {thing}
        do you know how much the {event} cost
        what was the total of the {many} sold at the {event}
        how many years did the {person} {act}
        how many cities have a {adj} {thing}
        how wide is the {thing}
        at what price were the {many} sold
        i want to know how many {many} you have
        how many times was the {thing} {made}
        how many people know who {made} the {thing}
        how many {many} were there when the {event} began
    """,
}
TEST = {
    "person": """
        do you know whose {adj} {thing} that is
        tell me the name of the {person} who won the {event}
        who {made} the {many} for the {event}
        can you say who {made} the {thing} in {city}
        by whom were the {many} {made}
        which {person} lives in {city}
        who was the first {person} in {city}
        to whom did the {person} give the {many}
        who was there when the {event} came to an end
    """,
    "place": """
        where in {city} is the {thing}
        tell me in which city the {event} took place
        do you know where the {person} was born
        in which town can i find the {adj} {thing}
        what country is the {person} from
        which town did the {person} leave
        where did the man who {made} the {thing} live
        to which country were the {many} sent
        on what street does the {person} live
    """,
    "time": """
        tell me in which year the {event} began
        do you know what time the {person} will come
        on what day was the {thing} {made}
        when do the {many} arrive in {city}
        at which hour does the {thing} open
        what month was the {person} born
        since what year have people lived in {city}
        when did the man who {made} the {thing} come home
        in what century did the {event} take place
    """,
    "number": """
        tell me how old the {adj} {thing} is
        what is the total number of {many}
        do you know how far {city} is
        how much is the {thing} now that it is {made}
        what price did the {person} pay for the {thing}
        how many people {act} in {city}
        how many days was the {event}
        in how many cities was the {thing} {made}
        how much older than the {person} is the {adj} {thing}
    """,
}
PARTS = {"train": (TRAIN, 20), "test": (TEST, 12)}
"""The templates of a part, by class, and how often each is filled."""

_GAP = re.compile(r"\{(\w+)\}")


def questions(part: str, seed: int = SEED) -> list[tuple[str, str]]:
    """Pairs (class, question), all different; those of a template stand together."""
    templates, count = PARTS[part]
    found = {}
    for label, block in templates.items():
        for template in filter(None, map(str.strip, block.splitlines())):
            for text in _filled(template, count, seed):
                found[text] = label
    return [(label, text) for text, label in found.items()]


def _filled(template: str, count: int, seed: int) -> list[str]:
    gaps = [WORDS[name].split() for name in _GAP.findall(template)]
    draws = uniform(np, derive(seed, "questions", template), 0, (count, len(gaps)))
    parts = _GAP.split(template)[::2]
    rows = []
    for row in draws:
        words = [choices[int(u * len(choices))] for u, choices in zip(row, gaps, strict=True)]
        rows.append("".join(a + b for a, b in zip(parts, [*words, "?"], strict=True)))
    return rows


def write(folder: Path) -> list[Path]:
    """The two files, whole or not at all."""
    paths = []
    for part in PARTS:
        path = folder / f"questions_{part}.tsv"
        lines = ["label\ttext", *("\t".join(row) for row in questions(part))]
        atomic_write(path, ("\n".join(lines) + "\n").encode())
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(f"wrote {written}")
