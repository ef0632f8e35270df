from __future__ import annotations

from gateway.domain.http_date import DateLine


def test_the_line_is_an_imf_fixdate_in_gmt() -> None:
    assert DateLine().at(784111777.9) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def test_the_line_is_written_once_a_second() -> None:
    dates = DateLine()
    assert dates.at(1000.0) is dates.at(1000.99)
    assert dates.at(1001.0) == b"Date: Thu, 01 Jan 1970 00:16:41 GMT\r\n"


def test_a_clock_that_was_set_back_is_followed() -> None:
    dates = DateLine()
    dates.at(1001.0)
    assert dates.at(1000.0) == b"Date: Thu, 01 Jan 1970 00:16:40 GMT\r\n"
