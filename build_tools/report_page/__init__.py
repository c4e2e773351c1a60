"""The build report as one HTML file that needs nothing from elsewhere: no script, style or font."""

from build_tools.report_page.page import render

__all__ = ["render"]
