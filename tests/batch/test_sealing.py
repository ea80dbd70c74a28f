"""Tests of the keys under which a journal is sealed."""

from __future__ import annotations

from collections.abc import Callable

from idura_ciba import CibaClient, EidRequest, NorwegianBankID
from idura_ciba.batch.sealing import Sealing

MakeClient = Callable[..., CibaClient]


async def test_a_seal_fits_what_it_was_made_for(sealing: Sealing) -> None:
    """All of it, kinds of value included."""
    values = ("key", b"\x01", 1.5, None, 7)
    seal = sealing.seal("entry", values)
    assert sealing.fits("entry", values, seal)
    for other in (("kex", *values[1:]), (*values[:-1], 8), (*values[:-1], "7"), values[:-1]):
        assert not sealing.fits("entry", other, seal)
    assert not sealing.fits("fact", values, seal)
    assert not sealing.fits("entry", values, None)


async def test_another_credential_seals_otherwise(make_ciba_client: MakeClient) -> None:
    """Whoever has not the key can make no seal and recognise nobody."""
    async with make_ciba_client() as one, make_ciba_client(resume_secret=b"s" * 32) as two:
        first, second = Sealing.of(one), Sealing.of(two)
    assert not second.fits("entry", ("key",), first.seal("entry", ("key",)))
    request = NorwegianBankID("01023990128")
    assert first.tag(request) != second.tag(request)
    assert second.decrypt("key", first.encrypt("key", {"a": 1})) is None


async def test_a_person_is_one_tag_through_whatever_is_asked(sealing: Sealing) -> None:
    """The hint says who it is, and nothing else does."""
    hint = "sub:ssn:01023990128"
    assert sealing.tag(EidRequest(login_hint=hint)) == sealing.tag(EidRequest(login_hint=hint, binding_message="x"))
    assert sealing.tag(EidRequest(login_hint=hint)) != sealing.tag(EidRequest(login_hint=hint + "1"))


async def test_answers_are_read_by_their_entry_only(sealing: Sealing) -> None:
    """And hidden from everybody else; what was cut or changed is none."""
    blob = sealing.encrypt("key", {"name": "Ånd Ingen", "number": 7})
    assert b"Ingen" not in blob
    assert sealing.decrypt("key", blob) == {"name": "Ånd Ingen", "number": 7}
    assert sealing.encrypt("key", {}) != sealing.encrypt("key", {})
    for bad in (b"", blob[:5], blob[:-1], blob[:-1] + bytes((blob[-1] ^ 1,))):
        assert sealing.decrypt("key", bad) is None
    assert sealing.decrypt("other", blob) is None


async def test_no_key_shows_itself(sealing: Sealing) -> None:
    """In a repr."""
    assert repr(sealing) == "Sealing()"
