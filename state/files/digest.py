"""SHA-256 of bytes as hex digits. Loading the library is 5 ms, which a cycle that hashes nothing does not pay."""


def of(*parts: bytes) -> str:
    """All 64 digits, over the parts as one."""
    from hashlib import sha256

    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def short(*parts: bytes) -> str:
    """The first 16 digits: enough where nobody forges."""
    return of(*parts)[:16]
