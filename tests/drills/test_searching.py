"""The search for secrets finds them: else that it finds none would say nothing."""

import base64

import pytest
from bank import SECRET
from drills.searching import dump, forms, found
from sqlalchemy import text

from receiver.runtime import Runtime

RAW = base64.b64decode(SECRET)


@pytest.mark.parametrize(
    "written",
    [
        SECRET.encode(),
        RAW,
        RAW.hex().encode(),
        RAW.hex().upper().encode(),
        SECRET.encode().hex().encode(),
        base64.b64encode(SECRET.encode()),
        base64.b64encode(b'{"secret":"' + SECRET.encode() + b'"}'),
        base64.b64encode(b"x" + SECRET.encode() + b"yz"),
        base64.urlsafe_b64encode(RAW),
        b'{"messageSigningSecret": "' + SECRET.encode() + b'"}',
    ],
)
def test_a_secret_is_found_in_the_form(written: bytes) -> None:
    assert found([SECRET], {"log": b"before " + written + b" behind"})


def test_what_is_no_secret_is_not_found() -> None:
    assert found([SECRET], {"log": base64.b64encode(bytes(range(256))) * 10}) == []
    assert all(len(form) >= 12 for form in forms(SECRET))


@pytest.mark.parametrize("written", [SECRET, RAW.hex()])
def test_it_is_found_in_a_database(live: Runtime, written: str) -> None:
    assert found([SECRET], dump(live.database)) == []
    with live.database.write() as connection:
        connection.execute(
            text("INSERT INTO consumers (name, position, created_at) VALUES (:name, 0, '2026-01-01 00:00:00')"),
            {"name": f"before {written} behind"},
        )
    assert found([SECRET], dump(live.database))
