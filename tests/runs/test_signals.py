import os
import signal
import threading

import pytest

from recurrax.runs.signals import Stopped, stop_on_signals


def test_the_first_signal_asks_and_the_second_exits_at_once(monkeypatch, capfd):
    exits = []
    monkeypatch.setattr(os, "_exit", exits.append)
    with stop_on_signals() as stop:
        stop.check()
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        assert exits == []
        with pytest.raises(Stopped) as stopped:
            stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.code == 130
    assert stopped.value.signal is signal.SIGINT
    assert exits == [143]
    assert capfd.readouterr().err.startswith("SIGINT: saving at the end of this chunk; once more stops at once\n")


def test_outside_the_main_thread_signals_are_left_alone():
    handlers = []

    def enter():
        with stop_on_signals() as stop:
            handlers.append((signal.getsignal(signal.SIGTERM), stop.requested))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [(before, False)]
