from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.domain.denial import Reason
from gateway.domain.key_format import (
    BASE62,
    TOKEN_LENGTH_MAX,
    KeyFormat,
    KeyFormats,
    ReadToken,
    checksum,
    variable_name,
)

INSTAVIEW = KeyFormat("instaview", "sk", ("live", "test"))
JOBHIVE = KeyFormat("jobhive", "jh", ("dev", "live", "test"))
PLAIN = KeyFormat("plain", "pl", ("live",), random_length=32, has_checksum=False)
FOREIGN = KeyFormat("imported", "", ("live",), has_checksum=False)
FORMATS = KeyFormats((INSTAVIEW, JOBHIVE, PLAIN))
WITH_FOREIGN = KeyFormats((INSTAVIEW, FOREIGN))

RANDOM = st.text(BASE62, min_size=43, max_size=43)
TOKEN = INSTAVIEW.mint("live", "A" * 43)


def _read(token: str, formats: KeyFormats = FORMATS) -> tuple[str, str] | Reason:
    read = formats.read(token.encode())
    return (read.format, read.environment) if isinstance(read, ReadToken) else read


def test_a_token_is_prefix_environment_random_checksum() -> None:
    """HP conventions section 7; 43 Base62 characters are 256 bits (IV-2)."""
    assert "sk_live_" + "A" * 43 + checksum(b"sk_live_" + b"A" * 43).decode() == TOKEN
    assert len(TOKEN) == len("sk_live_") + 49
    assert INSTAVIEW.entropy_bits >= 256
    assert FOREIGN.entropy_bits == 0


@given(RANDOM, st.sampled_from(["dev", "live", "test"]))
def test_what_was_minted_is_read(random: str, environment: str) -> None:
    """JH-5: the environment is readable from the string."""
    assert _read(JOBHIVE.mint(environment, random)) == ("jobhive", environment)


@given(st.binary(max_size=600))
def test_any_bytes_are_read_without_error(token: bytes) -> None:
    for formats in (FORMATS, WITH_FOREIGN, KeyFormats(())):
        assert isinstance(formats.read(token), (ReadToken, Reason))


@given(RANDOM, st.data())
def test_one_wrong_character_is_a_bad_checksum(random: str, data: st.DataObject) -> None:
    """CRC-32 finds every burst of up to 32 bits, so each single character."""
    token = INSTAVIEW.mint("live", random)
    at = data.draw(st.integers(len("sk_live_"), len(token) - 1))
    other = data.draw(st.sampled_from(BASE62))
    assume(other != token[at])
    assert _read(token[:at] + other + token[at + 1 :]) is Reason.BAD_CHECKSUM


def test_a_token_cannot_be_moved_to_another_environment_or_product() -> None:
    assert _read(TOKEN.replace("live", "test")) is Reason.BAD_CHECKSUM
    assert _read(TOKEN.replace("sk_", "jh_")) is Reason.BAD_CHECKSUM


def test_a_cut_off_token_is_a_bad_checksum() -> None:
    assert _read(TOKEN[:-1]) is Reason.BAD_CHECKSUM
    assert _read(TOKEN + "A") is Reason.BAD_CHECKSUM


@pytest.mark.parametrize(
    "token",
    [
        "",
        "YOUR_API_KEY",
        "sk_live_",
        "sk_prod_" + "A" * 49,
        "xx_live_" + "A" * 49,
        "SK_live_" + "A" * 49,
        "sk_live_" + "A" * 48 + "-",
        "sk_live_" + "A" * 48 + "é",
        "sk_live_" + "A" * 600,
        "sk_live_" + "A" * 49 + "\n",
        "sk live " + "A" * 49,
        "pl_live_" + "A" * 31,
    ],
)
def test_noise_is_malformed(token: str) -> None:
    assert _read(token) is Reason.MALFORMED_CREDENTIALS


def test_a_format_without_checksum_reads_its_own_length_only() -> None:
    token = PLAIN.mint("live", "A" * 32)
    assert token == "pl_live_" + "A" * 32
    assert _read(token) == ("plain", "live")
    assert _read(token + "A") is Reason.MALFORMED_CREDENTIALS


@pytest.mark.parametrize(
    "token", ["jh_live_abc123def456ghi789", "a", "A-._~+/9==", "x" * TOKEN_LENGTH_MAX]
)
def test_a_foreign_format_reads_any_b64token(token: str) -> None:
    """JH-6: foreign tokens of any length; RFC 6750 section 2.1."""
    assert _read(token, WITH_FOREIGN) == ("imported", "")


@pytest.mark.parametrize("token", ["", "=", "a=b", "a b", "ä", "a\x00", "x" * 513, 'a"'])
def test_a_foreign_format_reads_nothing_but_b64tokens(token: str) -> None:
    assert _read(token, WITH_FOREIGN) is Reason.MALFORMED_CREDENTIALS


def test_a_mistyped_token_is_told_from_a_foreign_one_by_its_length() -> None:
    assert _read(TOKEN[:-1] + "!", WITH_FOREIGN) is Reason.MALFORMED_CREDENTIALS
    wrong = TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b")
    assert _read(wrong, WITH_FOREIGN) is Reason.BAD_CHECKSUM
    assert _read("sk_live_short", WITH_FOREIGN) == ("imported", "")


@given(st.binary(max_size=100))
def test_the_checksum_is_crc32_in_six_base62_digits(text: bytes) -> None:
    digits = checksum(text).decode()
    number = 0
    for digit in digits:
        number = number * 62 + BASE62.index(digit)
    assert (len(digits), number) == (6, crc32(text))


def test_a_person_sees_four_random_characters_and_the_last_four() -> None:
    token = INSTAVIEW.mint("live", "ab12" + "X" * 39)
    assert INSTAVIEW.display(token) == f"sk_live_ab12…{token[-4:]}"


@pytest.mark.parametrize(
    ("token", "shown"),
    [("a" * 32, "aaaa…aaaa"), ("abcdefghijklmnop", "ab…op"), ("short", "…"), ("a_b", "…")],
)
def test_of_a_foreign_token_at_most_a_quarter_is_seen(token: str, shown: str) -> None:
    assert FOREIGN.display(token) == shown


@pytest.mark.parametrize(
    ("environment", "random"),
    [("prod", "A" * 43), ("live", "A" * 42), ("live", "A" * 42 + "-"), ("live", "A" * 42 + "é")],
)
def test_minting_refuses_what_does_not_fit(environment: str, random: str) -> None:
    with pytest.raises(ValueError, match="key format 'instaview'"):
        INSTAVIEW.mint(environment, random)


def test_a_foreign_format_cannot_mint() -> None:
    with pytest.raises(ValueError, match="mints no keys"):
        FOREIGN.mint("live", "A" * 43)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"environments": ()}, "at least one environment"),
        ({"environments": ("Live",)}, "environment 'Live'"),
        ({"environments": ("a_b",)}, "environment 'a_b'"),
        ({"prefix": "S"}, "prefix 'S'"),
        ({"prefix": "sk_"}, "prefix 'sk_'"),
        ({"prefix": ""}, "without a prefix cannot have a checksum"),
        ({"random_length": 21}, "22 is the least"),
        ({"random_length": 500}, "500 random characters"),
    ],
)
def test_an_unusable_format_is_refused_by_name(values: dict[str, object], text: str) -> None:
    usable: dict[str, object] = {"name": "mine", "prefix": "sk", "environments": ("live",)}
    with pytest.raises(ValueError, match=f"key format 'mine'.*{text}"):
        KeyFormat(**(usable | values))  # type: ignore[arg-type]


def test_formats_that_claim_the_same_tokens_are_refused() -> None:
    other = KeyFormat("other", "sk", ("test",))
    with pytest.raises(ValueError, match="'instaview' and 'other' share 'sk_test_'"):
        KeyFormats((INSTAVIEW, other))
    with pytest.raises(ValueError, match="'imported' and 'more' both have no prefix"):
        KeyFormats((FOREIGN, KeyFormat("more", "", ("live",), has_checksum=False)))
    with pytest.raises(ValueError, match="'instaview' is declared twice"):
        KeyFormats((INSTAVIEW, INSTAVIEW))


def test_formats_are_found_by_name() -> None:
    assert FORMATS.get("jobhive") is JOBHIVE
    assert FORMATS.get("unknown") is None
    assert [each.name for each in FORMATS] == ["instaview", "jobhive", "plain"]


def test_a_read_token_tells_nothing_secret() -> None:
    assert repr(FORMATS.read(TOKEN.encode())) == "ReadToken(format='instaview', environment='live')"


def test_a_key_without_a_secret_yet_shows_what_its_secret_will_begin_with() -> None:
    key_format = KeyFormat("sk", "sk", ("live",))
    shown = key_format.placeholder("live")
    assert shown == "sk_live_…"
    assert key_format.mint("live", "a" * 43).startswith(shown[:-1])


@pytest.mark.parametrize(
    ("name", "variable"),
    [("instaview", "INSTAVIEW_API_KEY"), ("acme-2.0", "ACME_2_0_API_KEY")],
)
def test_a_key_is_kept_in_a_variable_that_a_shell_takes(name: str, variable: str) -> None:
    assert variable_name(name) == variable
