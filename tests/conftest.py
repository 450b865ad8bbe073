"""What the tests say at their end: how many deliberate damages were caught."""


def pytest_terminal_summary(terminalreporter):
    scores = [
        value.split("/")
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == "mutations" and getattr(report, "when", "") == "call"
    ]
    if scores:
        caught, all_ = (sum(int(score[i]) for score in scores) for i in (0, 1))
        terminalreporter.write_line(
            f"mutations caught: {caught} of {all_} ({len(scores)} artifacts)"
        )
