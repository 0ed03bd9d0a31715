"""What a URL says of a store in MongoDB. Opens nothing, and shows no password."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ...errors import StoreError
from .keys import check_tenant

DATABASE = "optio"
"""The database, when the URL names none."""
TENANT = "default"
"""The tenant, when the URL names none."""
_OPTION = "optio_tenant"
_DEFAULTS = {
    "appName": "optio",
    "serverSelectionTimeoutMS": "5000",
    "connectTimeoutMS": "5000",
    "socketTimeoutMS": "5000",
}
"""What MongoDB's client is told unless the URL says otherwise. Its own defaults wait for 30 s, or for ever."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where journals are.

    Attributes:
        secret_url: what was given, with the password if there is one.
        client_url: for MongoDB's own client, likewise.
        database: name of the database.
        tenant: whose journals they are.
        shown: the URL without the user and the password, and without what only says how to connect.
    """

    secret_url: str
    client_url: str
    database: str
    tenant: str
    shown: str


def place_of(url: str) -> Place:
    """The place that a URL names. StoreError when it names none; the message repeats nothing of the URL."""
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    try:
        url.encode()  # an argument may hold bytes that are no text
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        tenant = check_tenant(dict(options).get(_OPTION, TENANT))
        given = {name.lower() for name, _ in options}
        theirs = [(name, value) for name, value in options if name != _OPTION]
        theirs += [(name, value) for name, value in _DEFAULTS.items() if name.lower() not in given]
        rest = (parts.netloc, parts.path or "/", urlencode(theirs), parts.fragment)
        # By the scheme that needs no look into the DNS. Not with warnings: they would show what is wrong.
        parsed = parse_uri(urlunsplit(("mongodb", *rest)), validate=True, warn=False)
    except (PyMongoError, ValueError) as error:
        raise StoreError(
            "this URL of a MongoDB names no store that this version knows; one that does looks like "
            "mongodb://user:password@host:port,host:port/database?options, with the options that MongoDB has, "
            f"{_OPTION}=NAME, and every character that has a meaning in it written as %XX ({type(error).__name__})"
        ) from None  # the cause shows parts of the URL
    database = parsed["database"] or DATABASE
    hosts = parts.netloc.rpartition("@")[2]
    which = "" if tenant == TENANT else f"?{_OPTION}={tenant}"
    return Place(
        secret_url=url,
        client_url=urlunsplit((parts.scheme, *rest)),
        database=database,
        tenant=tenant,
        shown=f"{parts.scheme}://{hosts}/{quote(database, safe='')}{which}",
    )
