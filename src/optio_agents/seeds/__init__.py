"""Seeds: the files of an agent's home that make it logged in, kept in a database and planted into new homes.

A database holds them as published optio-agents 0.3 keeps them, so both can work on the same one: a document each in the
collection `<prefix><suffix>`, its files as a blob in the GridFS bucket `fs`. Names are loaded when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .documents import declare_metadata as declare_metadata
    from .documents import delete_seed as delete_seed
    from .documents import insert_seed as insert_seed
    from .documents import list_seeds as list_seeds
    from .documents import load_seed as load_seed
    from .documents import purge_seed as purge_seed
    from .documents import update_seed_blob as update_seed_blob
    from .manifest import SeedManifest as SeedManifest
    from .pool import LEASE_TTL_SECONDS as LEASE_TTL_SECONDS
    from .pool import acquire as acquire
    from .pool import assign_to_pool as assign_to_pool
    from .pool import list_pool as list_pool
    from .pool import mark_seed_status as mark_seed_status
    from .pool import reap_expired_leases as reap_expired_leases
    from .pool import release as release
    from .pool import renew_lease as renew_lease
    from .transfer import capture_seed as capture_seed
    from .transfer import merge_seed as merge_seed
    from .transfer import overwrite_seed_member as overwrite_seed_member
    from .transfer import plant_seed as plant_seed
    from .transfer import refresh_seed as refresh_seed

_HOME_OF = {
    "LEASE_TTL_SECONDS": "pool",
    "SeedManifest": "manifest",
    "acquire": "pool",
    "assign_to_pool": "pool",
    "capture_seed": "transfer",
    "declare_metadata": "documents",
    "delete_seed": "documents",
    "insert_seed": "documents",
    "list_pool": "pool",
    "list_seeds": "documents",
    "load_seed": "documents",
    "mark_seed_status": "pool",
    "merge_seed": "transfer",
    "overwrite_seed_member": "transfer",
    "plant_seed": "transfer",
    "purge_seed": "documents",
    "reap_expired_leases": "pool",
    "refresh_seed": "transfer",
    "release": "pool",
    "renew_lease": "pool",
    "update_seed_blob": "documents",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
