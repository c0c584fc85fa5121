"""The words of the tiny-names language: every name, noun, verb and number its sentences are made of.

Countries and capitals are invented, so that recalling one can only come from the training text.
"""

from __future__ import annotations

FEMALE: tuple[str, ...] = (
    "Mary", "Anna", "Alice", "Sarah", "Emma", "Laura", "Julia", "Kate", "Lucy", "Helen",
    "Rachel", "Susan", "Linda", "Karen", "Nina", "Clara", "Diana", "Eva", "Grace", "Hannah",
    "Irene", "Jane", "Lily", "Maria", "Nora", "Olivia", "Paula", "Rose", "Sofia", "Teresa",
)  # fmt: skip
MALE: tuple[str, ...] = (
    "John", "James", "Robert", "Michael", "David", "Daniel", "Paul", "Mark", "George", "Steven",
    "Kevin", "Brian", "Edward", "Thomas", "Peter", "Henry", "Adam", "Simon", "Martin", "Oliver",
    "Oscar", "Victor", "Walter", "Frank", "Louis", "Leo", "Max", "Ralph", "Carl", "Hugo",
)  # fmt: skip
NAMES: tuple[str, ...] = FEMALE + MALE

MOVES: tuple[str, ...] = ("went to", "walked to", "drove to", "were at", "stayed at", "arrived at")
PLACES: tuple[str, ...] = (
    "store", "park", "school", "office", "garden", "station", "house", "market", "library", "beach",
)  # fmt: skip
GIVES: tuple[str, ...] = ("gave", "handed", "passed", "offered", "showed", "sold")
OBJECTS: tuple[str, ...] = (
    "drink", "book", "ring", "ball", "letter", "ticket", "flower", "cake", "coat", "map",
)  # fmt: skip
CLAUSES: tuple[str, ...] = ("When", "After", "While", "Once")

NOUNS: tuple[tuple[str, str], ...] = (
    ("key", "keys"), ("cabinet", "cabinets"), ("table", "tables"), ("lamp", "lamps"),
    ("dog", "dogs"), ("tree", "trees"), ("bridge", "bridges"), ("tower", "towers"),
    ("picture", "pictures"), ("window", "windows"), ("chair", "chairs"), ("boat", "boats"),
)  # fmt: skip
RELATIONS: tuple[str, ...] = ("near", "behind", "under", "beside")
QUALITIES: tuple[str, ...] = ("old", "new", "small", "green", "broken", "clean")

NUMBERS: tuple[str, ...] = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
DAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: tuple[str, ...] = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip

CAPITALS: tuple[tuple[str, str], ...] = (
    ("Velmora", "Asport"), ("Tarkia", "Bindel"), ("Ostrand", "Corvane"), ("Brenlund", "Delhurst"),
    ("Quorrel", "Emlock"), ("Zendor", "Fargate"), ("Palvia", "Gilmoor"), ("Murdell", "Hestow"),
    ("Ferrund", "Inverk"), ("Drassia", "Jastor"), ("Kelwen", "Kinvale"), ("Ibrosk", "Lorbay"),
    ("Sorvia", "Mistow"), ("Wendal", "Nelgate"), ("Yarlia", "Orwick"), ("Halmont", "Pellham"),
    ("Crovend", "Quintow"), ("Lentarra", "Rosport"), ("Ombrel", "Selwick"), ("Jundia", "Tormoor"),
)  # fmt: skip

FEELINGS: tuple[str, ...] = ("tired", "late", "happy", "hungry", "busy", "cold")

FUNCTIONS: tuple[str, ...] = ("load", "save", "open", "close", "read", "send", "merge", "split")
ARGUMENTS: tuple[str, ...] = (
    "size", "file", "path", "mode", "text", "line", "user", "data", "width", "color", "index", "total",
)  # fmt: skip

EVENTS: tuple[str, ...] = ("war", "reign", "journey", "strike", "project", "trial", "festival", "siege")
CENTURIES: tuple[str, ...] = ("11", "12", "13", "14", "15", "16", "17", "18", "19")
YEARS: tuple[str, ...] = tuple(f"{year:02d}" for year in range(100))
