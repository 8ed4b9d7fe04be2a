"""SHA-256 of bytes as hex digits. Loading the library takes 5 ms, so only cycles that hash something load it."""


def of(*parts: bytes) -> str:
    """Return all 64 digits of the SHA-256 of the concatenated parts."""
    from hashlib import sha256

    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def short(*parts: bytes) -> str:
    """Return the first 16 digits: enough to tell things apart, but not against forgery."""
    return of(*parts)[:16]
