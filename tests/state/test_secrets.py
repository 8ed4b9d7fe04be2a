import time

import pytest

from state.host.environment import allowed
from state.host.secrets import MASK, redacted

SHELL = {
    "EXCHANGE_API_KEY": "abc-123-def",
    "EXCHANGE_API_KEY_2": "abc-123-def-longer",
    "TINY_TOKEN": "1",
    "PATH": "/bin",
}


def test_values_of_secret_variables_are_masked_the_longer_first() -> None:
    text = "sent abc-123-def-longer and abc-123-def to /bin in 1 s"
    assert redacted(text, SHELL) == f"sent {MASK} and {MASK} to /bin in 1 s"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + "a1B2" * 6,
        "ghp_abcdefghijklmnopqrstuvwxyz0123",
        "github_pat_11ABCDEFG0abcdefghij",
        "AKIAABCDEFGHIJKLMNOP",
        "xoxb-1234567890-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_usual_shapes_are_masked_wherever_they_stand(secret: str) -> None:
    assert redacted(f"failed with {secret} today", {}) == f"failed with {MASK} today"


def test_named_values_and_addresses_are_masked() -> None:
    assert redacted("https://me:hunter22@host/x", {}) == f"https://{MASK}@host/x"
    assert redacted("api_key=0123456789abcdef, rest", {}) == f"api_key={MASK}, rest"
    assert redacted('{"password": "correct-horse"}', {}) == f'{{"password": {MASK}}}'
    assert redacted("Authorization: Bearer abcdefgh12345678", {}) == f"Authorization: Bearer {MASK}"


def test_what_we_say_ourselves_is_left_alone() -> None:
    for text in (
        "r0.SOL.aggressive.search.0 made no progress for 61 s (running)",
        "gate prescreen_artifacts: /r/Backtests/optimizations/SOL/aggressive/phase0_top500.json is missing or not JSON",
        "unknown setting 'swarm.keyboard' in BACKTEST_OPTIMIZE_CONFIG",
    ):
        assert redacted(text, SHELL) == text


def test_a_long_text_costs_no_more_than_its_length() -> None:
    began = time.process_time()
    redacted("x" * 1_000_000 + "key" * 100_000, {})
    assert time.process_time() - began < 5.0  # quadratic would be hours


def test_only_what_is_needed_is_handed_on() -> None:
    shell = SHELL | {
        "HOME": "/h",
        "SSH_AUTH_SOCK": "/s",
        "HTTPS_PROXY": "http://me:pw@p",
        "BACKTEST_OPTIMIZE__SWARM__LANES__COUNT": "2",
        "BACKTEST_OPTIMIZE__X__TOKEN": "secret",
    }
    assert allowed(shell) == {"PATH": "/bin", "HOME": "/h", "BACKTEST_OPTIMIZE__SWARM__LANES__COUNT": "2"}
