"""Log files."""

import logging
import logging.handlers
import pathlib

from ocisource import logs


def test_log_files_are_private_also_after_rotation(tmp_path: pathlib.Path) -> None:
    """Nobody but their owner reads them, whatever the umask."""
    try:
        logs.setup(level="info", encoding="json", stream=None, folder=tmp_path / "logs")
        logs.get("test").info("first")
        for handler in logging.getLogger("ocisource").handlers:
            if isinstance(handler, logging.handlers.RotatingFileHandler):
                handler.doRollover()
        logs.get("test").info("second")
        files = sorted((tmp_path / "logs").iterdir())
        assert [file.name for file in files] == ["ocisource.log", "ocisource.log.1"]
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
        assert ["second" in files[0].read_text(), "first" in files[1].read_text()] == [True, True]
    finally:
        root = logging.getLogger("ocisource")
        for handler in list(root.handlers):
            root.removeHandler(handler)
            handler.close()
        root.propagate = True
        root.setLevel(logging.NOTSET)
