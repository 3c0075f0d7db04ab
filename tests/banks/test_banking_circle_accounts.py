"""Banking Circle's accounts come from every page, whatever the bank says of how many there are."""

from typing import Any

import pytest
from listed import MadeUp

from receiver.banks.banking_circle import api
from receiver.banks.errors import AnswerUnreadable, NotKnown

FULL, REST = api.PAGE_SIZE, 7


def page(first: int, number: int, **info: Any) -> dict[str, Any]:
    listed = [{"accountId": f"a{count}", "status": "Active"} for count in range(first, first + number)]
    return {"result": listed, "pageInfo": info}


def ids(*answers: Any) -> list[str]:
    client = MadeUp(*answers)
    found = [str(account.id) for account in api.accounts(client)]
    assert client.answers == []
    return found


@pytest.mark.parametrize(
    "info", [{}, {"rowCount": 0}, {"rowCount": FULL}, {"rowCount": FULL, "pageSize": FULL}], ids=str
)
def test_a_wrong_number_of_rows_leaves_no_page_out(info: dict[str, int]) -> None:
    assert len(ids(page(0, FULL, **info), page(FULL, REST, **info))) == FULL + REST


def test_pages_that_are_smaller_than_asked_for_are_read_as_far_as_the_rows_go() -> None:
    assert len(ids(page(0, 2, rowCount=5), page(2, 2, rowCount=5), page(4, 1, rowCount=5))) == 5


class Ending(MadeUp):
    """A bank that answers 404 where no page is left."""

    def get(self, path: str, *args: Any, **kwargs: Any) -> Any:
        if not self.answers:
            raise NotKnown("there is no such page")
        return super().get(path, *args, **kwargs)


def test_a_page_that_is_not_there_is_the_end_and_takes_none_of_the_others_away() -> None:
    assert len(api.accounts(Ending(page(0, FULL)))) == FULL
    assert api.accounts(Ending()) == []


def test_a_bank_that_gives_one_page_for_every_number_keeps_nobody_for_ever() -> None:
    with pytest.raises(AnswerUnreadable, match="the same page comes again"):
        api.accounts(MadeUp(*[page(0, FULL)] * 3))
