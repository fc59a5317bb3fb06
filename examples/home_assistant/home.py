"""The simulated home: its rooms, its devices by kind, and the words that fill open places.

A command is only ever asked of a device that can do it: a device's kind is part of the grammar's
context, so nobody asks the fan to play a song.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """A thing in the home that commands name."""

    name: str
    domain: str
    device_class: str | None = None

    @property
    def context(self) -> dict[str, str]:
        """What the product's grammar may require of a name."""
        context = {"domain": self.domain}
        if self.device_class is not None:
            context["device_class"] = self.device_class
        return context


def _devices(domain: str, *names: str, device_class: str | None = None) -> list[Device]:
    return [Device(name, domain, device_class) for name in names]


AREAS = (
    "kitchen",
    "living room",
    "bedroom",
    "bathroom",
    "office",
    "garage",
    "hallway",
    "dining room",
    "nursery",
    "basement",
    "garden",
    "attic",
)
FLOORS = ("ground", "first", "second", "top")

DEVICES = (
    *_devices("light", "desk lamp", "reading lamp", "chandelier", "night light", "floor lamp"),
    *_devices("light", "porch light", "mirror light", "spotlight", "lava lamp"),
    *_devices("fan", "ceiling fan", "tower fan", "exhaust fan", "box fan"),
    *_devices("switch", "coffee maker", "air purifier", "christmas tree", "space heater"),
    *_devices("switch", "sprinkler", "aquarium pump"),
    *_devices("media_player", "tv", "soundbar", "radio", "record player", "projector", "speaker"),
    *_devices("media_player", "jukebox", "headphones", "karaoke machine", "cinema"),
    *_devices("cover", "left blind", "right blind", "awning", "velvet curtain", "roller shutter"),
    *_devices("lock", "front door", "back door", "side gate", "shed lock"),
    *_devices("vacuum", "robot vacuum", "dusty", "rover", "mop bot", "crumbs"),
    *_devices("vacuum", "dirt devil", "roomba", "sweeper", "hoover", "zippy"),
    *_devices("scene", "movie night", "good morning", "dinner time", "romance"),
    *_devices("script", "bedtime routine", "party mode", "vacation mode"),
    *_devices("todo", "groceries", "chores", "packing", "birthday gifts", "hardware store"),
    *_devices("weather", "london", "boston", "cabin", "lisbon"),
    *_devices("climate", "thermostat", "heat pump", "boiler", "radiator"),
    *_devices("person", "alice", "bob", "carol", "dave"),
    *_devices("sensor", "greenhouse", "wine cellar", device_class="temperature"),
    *_devices("sensor", "shower", "crawl space", device_class="humidity"),
    *_devices("sensor", "phone", "tablet", "doorbell", device_class="battery"),
    *_devices("sensor", "washing machine", "server rack", device_class="power"),
    *_devices("sensor", "solar panel", "heat meter", device_class="energy"),
    *_devices("binary_sensor", "driveway camera", "stair sensor", device_class="motion"),
    *_devices("binary_sensor", "fridge door", "mailbox", device_class="door"),
    *_devices("binary_sensor", "skylight", "bay window", device_class="window"),
    *_devices("binary_sensor", "smoke alarm", "stove alarm", device_class="smoke"),
    *_devices("binary_sensor", "sump sensor", "dishwasher leak", device_class="moisture"),
)

# Words for the places that the grammar leaves open.
OPEN_WORDS: dict[str, tuple[str, ...]] = {
    "shopping_list_item": (
        "milk",
        "eggs",
        "olive oil",
        "bread",
        "apples",
        "dish soap",
        "batteries",
        "coffee beans",
        "toothpaste",
        "rice",
        "oat milk",
        "tomatoes",
        "paper towels",
        "cat food",
        "cheddar cheese",
        "bananas",
    ),
    "todo_list_item": ("call the plumber", "water the plants", "buy stamps", "pay the rent"),
    "message": ("dinner is ready", "we leave in ten minutes", "the guests are here", "good night"),
    "search_query": ("miles davis", "the moonlight sonata", "abbey road", "bohemian rhapsody"),
    "zone": ("work", "school", "gym", "office park", "grandma's house", "university"),
    "timer_name": ("pizza", "laundry", "tea", "eggs", "homework", "workout", "roast", "nap"),
    "timer_command": (
        "turn off the tv",
        "open the left blind",
        "turn on the desk lamp",
        "lock the front door",
    ),
}


# What a person would switch on and off, or ask whether it is on; the grammar itself would let
# them switch on London's weather.
SWITCHED = frozenset({"light", "fan", "switch", "media_player", "climate"})
ASKED = SWITCHED | {"sensor", "lock", "cover", "vacuum"}


def suits(intent: str, domain: str) -> bool:
    """Whether people say `intent` to a device of `domain`, where the grammar takes any."""
    match intent:
        case "HassTurnOn" | "HassTurnOff":
            return domain in SWITCHED
        case "HassGetState":
            return domain in ASKED
    return True


def device_classes() -> set[str]:
    """The kinds of sensor that somebody in this home can ask about."""
    return {device.device_class for device in DEVICES if device.device_class is not None}
