import subprocess
import sys

ENDLESS = """
from fdigits.errors import exit_cleanly

@exit_cleanly
def main():
    while True:
        print("line", flush=True)

main()
"""


def test_a_reader_that_stops_early_ends_a_command_without_a_trace():
    command = [sys.executable, "-c", ENDLESS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.wait(30) == 1 and not process.stderr.read()
