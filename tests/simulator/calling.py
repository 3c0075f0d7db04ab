"""Calls the simulated banks other than BCB."""

import json
import time

import requests


class BankCaller:
    """Calls one bank that is not BCB, and its control endpoints."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False

    def request(self, method, path, **more):
        return self.session.request(method, self.simulator.url + path, timeout=10, **more)

    def control(self, path, body=None, method="POST", status=200):
        answer = self.session.request(
            method, f"{self.simulator.control_url}/_simulator{path}", data=json.dumps(body or {}), timeout=30
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def change(self, **options):
        return self.control("/options", options, "PATCH")["options"]


def until(condition):
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
