"""sushy-tools' Redfish emulator with its fake driver: one machine, the account admin/secret, on loopback.

usage: sushy_emulator.py PORT STATE_DIR

Two things are added to the fake driver, which needs them for a test: power changes take one second instead of up to
eleven, and it keeps the HttpBootUri as the other drivers do.
"""

import os
import sys

import bcrypt
from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems import fakedriver

port, state = int(sys.argv[1]), sys.argv[2]

fakedriver.random.randint = lambda least, most: 1


class Driver(fakedriver.FakeDriver):
    uri = None

    def get_http_boot_uri(self, identity):
        return self.uri

    def set_http_boot_uri(self, uri):
        Driver.uri = uri


fakedriver.FakeDriver = Driver

accounts = os.path.join(state, "accounts")
with open(accounts, "wb") as file:
    file.write(b"admin:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
main.app.configure(extra_config={
    "SUSHY_EMULATOR_FAKE_DRIVER": True,
    "SUSHY_EMULATOR_STATE_DIR": state,
    "SUSHY_EMULATOR_AUTH_FILE": accounts,
})
main.app.run(host="127.0.0.1", port=port)
