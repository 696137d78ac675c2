"""The lists that people and companies are named from, each name beside its spelling in an address.

No given name is also a family name, so that `given.family@` and `family.given@` never meet in one address.
"""

from __future__ import annotations


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Words as (as written, as spelled in an address); `Zoë=zoe` where the two differ."""
    split = (word.partition("=") for word in text.split())
    return tuple((written, spelled or written.lower()) for written, _, spelled in split)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN_NAMES = _pairs("""
    Ada Aisha Akira Alejandro Amara Amélie=amelie Anders Aniela Anouk Arjun Astrid Baptiste Beatriz Bram
    Camila Chiara Chidi Clara Dagny Daniela Deepika Dimitri Diego Ebba Eduardo Eilidh Elif Emeka Emma Esra Ewa
    Fatima Felipe Femke Finn Freya Gabriela Giulia Grace Hana Hannah Haruto Henrik Hiro Hugo Ida Ilse Imani
    Ines Ingrid Isla Ivan Jasmin Joana Johanna Jonas José=jose Julia Kaito Karin Katarzyna Kenji Kwame Lars
    Laila Leandro Lena Liam Linnea Lucía=lucia Mads Maeve Malik Maria Mateo Mei Mila Minh Nadia Naomi Niamh
    Nikolai Noa Nora Olivia Omar Oscar Paula Pedro Priya Rafael Ravi Renata Rosa Sakura Samira Sanjay Sara
    Selin Signe Sofia Søren=soren Tariq Teresa Thandiwe Tomasz Uma Valentina Vera Viktor Wanja Xiomara Yara
    Yusuf Zara Zofia Zoë=zoe
""")

FAMILY_NAMES = _pairs("""
    Abara Adeyemi Ahlgren Almeida Andersson Bakker Banerjee Bauer Becker Bergström=bergstroem Bianchi Blanc
    Borges Brandt Brennan Campbell Cardoso Castillo Chen Cohen Conti Costa Dahl Delgado Demir Desai Dubois
    Dumont Eriksen Estrada Evans Farouk Ferrari Fischer Fontaine Fournier Fujita Gallagher García=garcia
    Gómez=gomez Greco Gupta Haddad Hansen Hayashi Herrera Hoffmann Huang Ibrahim Ito Ivanova Jensen Johansson
    Joshi Kamau Kaplan Kaya Khan Kim Klein Kobayashi Kowalski Kruger Lambert Larsen Lefebvre Leroy Lindqvist
    Lopes Mäkinen=makinen Marino Mensah Meyer Molina Moreau Mori Müller=mueller Murphy Mwangi Nakamura Ndiaye
    Nguyen Nielsen Novák=novak Nowak Oduya Okafor Olsen Ortega Osei Park Patel Pereira Petrov Popescu Quinn
    Ramos Rasmussen Rossi Ruiz Sato Schmidt Schneider Shah Silva Singh Smit Soto Sullivan Suzuki Takahashi
    Tanaka Teixeira Torres Traoré=traore Ueda Vargas Vasquez Virtanen Visser Volkov Wagner Wang Weber
    Wójcik=wojcik Yamamoto Yilmaz Zhang Zielinski
""")

COMPANY_FIRSTS = _words("""
    Alder Amber Anchor Aspen Atlas Beacon Birch Bright Cedar Cinder Clear Cobalt Copper Coral Crest Delta
    Drift Eastern Ember Falcon Fern Field Flint Harbor Hazel High Indigo Iron Juniper Lantern Lumen Maple
    Meridian Mill North Oak Orchard Pebble Pine Quarry Raven Ridge River Saffron Silver Slate Solar Spruce
    Stone Summit Tidal Timber Union Velvet Violet Willow
""")

COMPANY_SECONDS = _words("""
    Analytics Bakery Bikes Books Brewing Ceramics Clinics Coffee Design Energy Farms Foods Freight
    Furniture Games Gardens Health Kitchens Labs Logistics Media Optics Outfitters Robotics Schools Software
    Studios Supply Textiles Tools Travel Works
""")

INDUSTRIES = ("Food", "Health", "Logistics", "Media", "Retail", "Software", "Travel")

# Reserved for examples and tests: mail to them reaches nobody, and no built-in list blocks them.
MAIL_DOMAINS = (
    "inbox.example",
    "letterbox.example",
    "mailhome.example",
    "postfach.example",
    "paperplane.test",
)

SHOP = "www.brightloom.example"

PAGES = (
    ("/", "Brightloom"),
    ("/pricing", "Pricing · Brightloom"),
    ("/features", "Features · Brightloom"),
    ("/customers", "Customers · Brightloom"),
    ("/blog/weaving-your-data", "Weaving your data · Brightloom"),
    ("/docs/quickstart", "Quickstart · Brightloom"),
    ("/app", "Dashboard · Brightloom"),
    ("/app/reports", "Reports · Brightloom"),
    ("/app/settings", "Settings · Brightloom"),
)

REFERRERS = ("", "", "https://search.test/", "https://news.test/item?id=4211", "https://partner.example/")

SCREENS = ("Home", "Reports", "Report Detail", "Notifications", "Settings")

ACTIONS = (
    "Report Viewed",
    "Report Exported",
    "Dashboard Created",
    "Filter Applied",
    "Invite Sent",
    "Integration Connected",
    "Video Played",
)

AGENTS = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.2 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
)

LOCALES = ("de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "ja-JP", "pt-BR", "sv-SE")

# Telephone numbers set aside for fiction, as (prefix, how many digits follow, how many numbers there are).
# North America keeps 555-0100 to 555-0199 free in every area, Ofcom a thousand numbers in each city.
_AREAS = _words("""
    201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240 248
    251 252 253 254 256 260 262 267 269 270 276 281 301 302 303 304 305 307 308 309 310 312 313 314 315 316
    317 318 319 320 321 323 325 330 331 334 336 337 339 347 351 352 360 361 386 401 402 404 405 406 407 408
    409 410 412 413 414 415 417 419 423 424 425 432 434 435 440 443 469 478 479 480 484 501 502 503 504 505
    507 508 509 510 512 513 515 516 517 518 520 530 540 541 551 559 561 562 563 567 570 571 573 574 580 585
    586 601 602 603 605 606 607 608 609 610 612 614 615 616 617 618 619 620 623 626 630 631 636 641 646 650
    651 660 661 662
""")
_CITIES = _words("""
    1134960 1144960 1154960 1164960 1174960 1184960 1214960 1314960 1414960 1514960 1614960 1914980 2079460
    7700900
""")

PHONE_RANGES = (
    *((f"+1{area}55501", 2, 100) for area in _AREAS),
    *((f"+44{city}", 3, 1_000) for city in _CITIES),
)
PHONES = sum(size for _, _, size in PHONE_RANGES)
