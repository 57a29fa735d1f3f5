"""Redis itself: does it answer, take what is written, keep it, and have room."""

from typing import Any

from redis.exceptions import ResponseError

from shared.doctor.findings import Finding, ok, warning, wrong

OLDEST = (6, 2)
ALMOST_ALL = 0.8
PROBE = "cfar.doctor"
PROBE_LASTS = 60


def reachable(client: Any) -> list[Finding]:
    """Say that it answers."""
    client.ping()
    return [ok("redis", "answers")]


def version(client: Any) -> list[Finding]:
    """Say which server it is."""
    info = client.info("server")
    name, number = "Redis", str(info["redis_version"])
    if "valkey_version" in info:
        name = f"Valkey {info['valkey_version']}, as Redis"
    said = f"{name} {number}"
    parts = tuple(int(part) for part in number.split(".")[:2] if part.isdigit())
    return [ok("redis-version", said) if parts >= OLDEST else warning("redis-version", f"{said}: older than 6.2")]


def writes(client: Any) -> list[Finding]:
    """Write a small key that goes by itself."""
    try:
        client.set(PROBE, "written by the doctor", ex=PROBE_LASTS)
    except ResponseError as error:
        return [wrong("redis-writes", f"takes nothing in: {_first_words(error)}")]
    return [ok("redis-writes", "takes what is written")]


def eviction(client: Any) -> list[Finding]:
    """Look at what it does when its memory is full; told by INFO, which hosted ones allow."""
    info = client.info()
    policy, evicted = str(info.get("maxmemory_policy", "unknown")), int(info.get("evicted_keys", 0))
    if policy == "noeviction":
        return [ok("redis-eviction", "maxmemory-policy is noeviction")]
    said = f"maxmemory-policy is {policy}"
    if evicted:
        return [wrong("redis-eviction", f"{said}, and {evicted} keys were thrown away since it started")]
    if int(info.get("maxmemory", 0)):
        return [wrong("redis-eviction", f"{said}: messages are thrown away once its memory is full")]
    return [warning("redis-eviction", f"{said}; harmless only while it has no limit of memory")]


def memory(client: Any) -> list[Finding]:
    """Compare what is used with what is allowed."""
    info = client.info("memory")
    used, allowed = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if not allowed:
        return [ok("redis-memory", f"{used // 1024**2} MiB used, no limit")]
    said = f"{used // 1024**2} of {allowed // 1024**2} MiB used"
    return [warning("redis-memory", said) if used > ALMOST_ALL * allowed else ok("redis-memory", said)]


def persistence(client: Any) -> list[Finding]:
    """Tell whether it keeps its data over a restart: either will do, unless keeping it fails."""
    info = client.info("persistence")
    is_kept = bool(info.get("aof_enabled"))
    if info.get("rdb_last_bgsave_status", "ok") != "ok" or info.get("aof_last_write_status", "ok") != "ok":
        return [warning("redis-persistence", "its last attempt to save failed")]
    kept = "append-only file on" if is_kept else "append-only file off"
    return [ok("redis-persistence", f"{kept}; either will do: the database holds everything")]


def clients(client: Any) -> list[Finding]:
    """Compare the connections with those allowed."""
    info = client.info("clients")
    used, allowed = int(info["connected_clients"]), int(info.get("maxclients", 0))
    said = f"{used} of {allowed} connections in use" if allowed else f"{used} connections in use"
    is_tight = bool(allowed) and used > ALMOST_ALL * allowed
    return [warning("redis-clients", said) if is_tight else ok("redis-clients", said)]


def _first_words(error: Exception) -> str:
    """Return the error's name and nothing that it quotes."""
    return f"{type(error).__name__} {str(error).partition(' ')[0][:20]}".strip()
