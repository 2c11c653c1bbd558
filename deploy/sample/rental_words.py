"""The words that the sample's names, titles and texts are put together from; all made up for this project."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


LANGUAGES = ("English", "German", "French", "Spanish", "Japanese", "Hindi")

CATEGORIES = _words(
    "Adventure,Animation,Biography,Comedy,Crime,Documentary,Drama,Family,Fantasy,History,Horror,Musical,Mystery,"
    "Romance,Thriller,Western"
)

TITLE_FIRST = _words(
    "AMBER,ARCTIC,AUTUMN,BARLEY,BITTER,BORROWED,BRASS,BROKEN,CARDBOARD,CEDAR,CLOUDY,COBALT,COPPER,CRIMSON,CROOKED,"
    "DISTANT,DUSTY,ELECTRIC,EMPTY,FADING,FEARLESS,FOGGY,FORGOTTEN,FROZEN,GENTLE,GILDED,GRANITE,HOLLOW,HONEST,IVORY,"
    "LANTERN,LAZY,LONELY,MARBLE,MERRY,MIDNIGHT,NARROW,NIMBLE,NORTHERN,PAPER,PATIENT,PLASTIC,QUIET,RECKLESS,RUSTED,"
    "SALTED,SCARLET,SECOND,SILENT,SILVER,SLEEPY,SOLAR,STUBBORN,SUNKEN,TANGLED,TENDER,THIRSTY,VELVET,WANDERING,WOODEN"
)

TITLE_SECOND = _words(
    "ACCORDION,ALMANAC,ANCHOR,ARCHIVE,ATLAS,AVENUE,BALLAD,BAKERY,BEACON,BICYCLE,BRIDGE,CANYON,CARAVAN,CELLAR,CHORUS,"
    "CLOCKMAKER,COMPASS,CURTAIN,DELTA,DETOUR,ECLIPSE,ELEVATOR,EMBER,FERRY,FIDDLER,FOUNTAIN,GARDENER,GLACIER,HARVEST,"
    "HORIZON,INVENTOR,ISLAND,KEEPER,LABYRINTH,LETTER,LIGHTHOUSE,MAGPIE,MERIDIAN,MESSENGER,MONSOON,OBSERVATORY,ORCHARD,"
    "OVERTURE,PARADE,PASSENGER,PELICAN,PENDULUM,QUARRY,RAILWAY,RIDDLE,SATELLITE,SHEPHERD,SPARROW,STATION,SUITCASE,"
    "TEMPEST,THIMBLE,UMBRELLA,VOYAGE,WINDMILL"
)

FIRST_NAMES = _words(
    "Ada,Agnes,Ahmed,Aiko,Alma,Amara,Anders,Anouk,Arjun,Astrid,Bao,Beatriz,Bela,Birgit,Bruno,Carmen,Casper,Chiara,"
    "Chidi,Clara,Dagny,Daniel,Deepa,Diego,Edda,Elias,Elif,Emeka,Enzo,Esther,Farah,Felix,Fiona,Gustav,Hana,Hassan,"
    "Hedda,Henrik,Ilse,Imani,Ines,Ivan,Jana,Jonas,Joao,Kaito,Karin,Kofi,Lars,Leila,Lena,Lucia,Magnus,Malik,Marta,"
    "Mei,Milan,Mina,Nadia,Nils,Noor,Olga,Omar,Otto,Paloma,Pavel,Petra,Priya,Rafael,Ravi,Renate,Rosa,Samir,Sanna,"
    "Selma,Soren,Tamar,Tariq,Thea,Tomas,Ursula,Vera,Viktor,Wanda,Yara,Yusuf,Zoe,Zoltan,Chloé,José,Jürgen,Łucja"
)

LAST_NAMES = _words(
    "Abbas,Adeyemi,Albers,Almeida,Andersen,Aydin,Bakker,Banerjee,Barros,Becker,Bjork,Bouchard,Brandt,Cabrera,Castell,"
    "Chandra,Cho,Conti,Cordero,Dahl,Darzi,Delacroix,Demir,Dietrich,Duarte,Eriksen,Espinoza,Falk,Farrow,Fischer,"
    "Fontaine,Fujita,Garber,Gomes,Grimaldi,Haas,Hakimi,Halloran,Hartmann,Hayashi,Holm,Horvath,Ibarra,Iyer,Jansen,"
    "Kapoor,Karlsson,Keller,Kimura,Kovac,Kruger,Lindgren,Lombardi,Marchetti,Mbeki,Meyer,Mohr,Moreau,Nakagawa,Navarro,"
    "Nkosi,Novak,Nyberg,Okafor,Olsen,Ortega,Osei,Pedersen,Petrov,Quist,Rahman,Ramires,Reuter,Rossi,Saito,Santana,"
    "Schreiber,Sharma,Silveira,Sorensen,Steiner,Suarez,Takeda,Tavares,Toth,Ueda,Vargas,Vogel,Wagner,Weiss,Yilmaz,"
    "Zeller,Zhou,Nuñez,Müller,O'Dowd"
)

STUDIOS = (
    "Blue Kettle Pictures",
    "Harbour Nine",
    "Long Field Films",
    "North Window",
    "Paper Moth",
    "Tin Whistle Studios",
)

EVENTS = (
    "the last ferry leaves the island",
    "a storm cuts off the valley",
    "an old letter turns up in a piano",
    "the town's clock stops at noon",
    "the harvest fails for a third year",
    "a stranger buys the closed cinema",
    "the river freezes overnight",
    "a map is found under the floor",
    "the lights of the harbour go out",
    "the circus loses its way",
)

HEROES = (
    "a tired cartographer",
    "a retired diver",
    "a young baker",
    "a village teacher",
    "a night nurse",
    "a careless inventor",
    "a lighthouse keeper",
    "a cello player",
    "a train conductor",
    "a beekeeper",
    "a court stenographer",
    "a radio amateur",
)

TASKS = (
    "return a stolen lens",
    "win back the orchard",
    "find the missing archive",
    "carry a bell over the mountains",
    "learn to trust each other",
    "clear a dead friend's name",
    "build a bridge before the flood",
    "outwit a greedy landlord",
    "bring the choir together",
    "reach the coast before the army",
)

SPANS = ("one night", "three days", "a single summer", "until the next full moon", "an hour", "forty miles")

COUNTRIES = _words(
    "Argentina,Australia,Austria,Bangladesh,Belgium,Bolivia,Brazil,Bulgaria,Cameroon,Canada,Chile,China,Colombia,"
    "Croatia,Czechia,Denmark,Ecuador,Egypt,Estonia,Ethiopia,Finland,France,Germany,Ghana,Greece,Hungary,Iceland,India,"
    "Indonesia,Ireland,Italy,Japan,Jordan,Kenya,Latvia,Lithuania,Malaysia,Mexico,Mongolia,Morocco,Nepal,Netherlands,"
    "New Zealand,Nigeria,Norway,Pakistan,Peru,Philippines,Poland,Portugal,Romania,Rwanda,Senegal,Serbia,Slovakia,"
    "Slovenia,South Africa,South Korea,Spain,Sri Lanka,Sweden,Switzerland,Tanzania,Thailand,Tunisia,Turkey,Uganda,"
    "United Kingdom,United States,Uruguay,Vietnam,Zambia"
)

CITY_FIRST = _words(
    "Alder,Ash,Bel,Brac,Cal,Dor,Elm,Fal,Gran,Hol,Kes,Lor,Mar,Nor,Oster,Pel,Quin,Rav,Sel,Tor,Ul,Vel,Wes,Zan"
)

CITY_SECOND = _words(
    "aba,bach,berg,by,dale,ena,feld,ford,grad,haven,ica,ino,mere,minster,mont,mouth,ora,polis,stad,ton,una,vale,ville,"
    "wick"
)

STREETS = _words(
    "Abbey,Birch,Canal,Chapel,Cherry,Cooper,Dock,Fair,Foundry,Garden,Harbour,Hazel,Hill,Juniper,Kiln,Lark,Linden,"
    "Market,Meadow,Mill,Orchard,Poplar,Quarry,Rope,Saddler,Sluice,Station,Tanner,Thistle,Weaver,Willow"
)

STREET_KINDS = ("Street", "Lane", "Road", "Avenue", "Square", "Row", "Walk")

DISTRICTS = ("Centre", "East", "Harbour", "Hillside", "Lower Town", "North", "Riverside", "South", "Upper Town", "West")
