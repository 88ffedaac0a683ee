"""Pictures of the report for the README: `python docs/screenshots/report.py [REPORT]`, with Chromium installed.

REPORT is a page that `make demo` made; by default the one in data/.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Name -> dark or not, what is left out so that a picture holds what it is about, width and height.
PICTURES = {
    "report-light.png": (False, "", 1200, 1640),
    "report-dark.png": (True, ".top, .bar, .tiles, #live, #boards", 1200, 1640),
    "report-phone.png": (False, "", 390, 1640),
}


def main() -> None:
    """Take every picture."""
    page = Path(sys.argv[1] if len(sys.argv) > 1 else "data/report/index.html").absolute()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or not page.exists():
        sys.exit(f"Chromium and {page} are needed: install the one, run `make demo` for the other")
    for name, (dark, hidden, width, height) in PICTURES.items():
        with tempfile.TemporaryDirectory() as profile:
            shown = Path(profile) / "shown.html"
            shown.write_text(
                page.read_text(encoding="utf-8") + f"<style>{hidden or 'none'} {{ display: none }}</style>"
            )
            subprocess.run(
                [
                    chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--hide-scrollbars", "--virtual-time-budget=6000", f"--user-data-dir={profile}",
                    f"--window-size={width},{height}", f"--screenshot={HERE / name}",
                    # Chromium's numbers of the two schemes.
                    f"--blink-settings=preferredColorScheme={0 if dark else 1}", shown.as_uri(),
                ],
                check=True, capture_output=True,
            )  # fmt: skip
        print(f"{HERE / name}: {(HERE / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
