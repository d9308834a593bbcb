"""`launch.py` without the page at the end, which takes ten seconds, where nobody looks at it:

python -m tests.no_page FLAGS
"""

import runpy

import fdigits.report
import fdigits.study

if __name__ == "__main__":
    fdigits.report.write = lambda runs, out: out
    fdigits.study.undrawable = lambda: "no page is drawn"
    runpy.run_path("launch.py", run_name="__main__")
