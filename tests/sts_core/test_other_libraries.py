"""MISTY1 and DES agree with an independent library, where the system has one."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sts_core
from sts_core import VendingKey, _native

SYSTEM_PYTHON = "/usr/bin/python3"
CASES = 300

ENCRYPT = """
import json, sys, botan2
answers = []
for name, key, block in json.load(sys.stdin):
    cipher = botan2.BlockCipher(name)
    cipher.set_key(bytes.fromhex(key))
    answers.append(bytes(cipher.encrypt(bytes.fromhex(block))).hex())
json.dump(answers, sys.stdout)
"""


def encrypted_elsewhere(cases: list[tuple[str, bytes, bytes]]) -> list[bytes]:
    asked = json.dumps([(name, key.hex(), block.hex()) for name, key, block in cases])
    run = subprocess.run(
        [SYSTEM_PYTHON, "-c", ENCRYPT], input=asked, capture_output=True, text=True, check=True
    )
    return [bytes.fromhex(answer) for answer in json.loads(run.stdout)]


@pytest.fixture(autouse=True)
def _needs_botan() -> None:
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip("no system Python")
    if subprocess.run(
        [SYSTEM_PYTHON, "-c", "import botan2"], capture_output=True, check=False
    ).returncode:
        pytest.skip("the system Python has no botan")


def test_misty1_agrees_with_botan() -> None:
    chance = random.Random(11)
    cases = [("MISTY1", chance.randbytes(16), chance.randbytes(8)) for _ in range(CASES)]
    answers = encrypted_elsewhere(cases)
    for (_, key, block), secret in zip(cases, answers, strict=True):
        assert _native.misty1(key=key, block=block) == secret
        assert _native.misty1(key=key, block=secret, decrypt=True) == block


def odd_parity(key: bytes) -> bytes:
    return bytes(byte & 0xFE | (byte >> 1).bit_count() % 2 ^ 1 for byte in key)


def xor(*blocks: bytes) -> bytes:
    return bytes(a ^ b ^ c for a, b, c in zip(*blocks, strict=True))


def test_decoder_keys_of_dkga02_agree_with_botans_des() -> None:
    chance = random.Random(2)
    cases, names = [], []
    for _ in range(CASES):
        front = f"{chance.randrange(10**10):010}"
        name: dict[str, Any] = {
            "meter": front + str(sts_core.drn_check_digit(front)),
            "ea": 7,
            "sgc": f"{chance.randrange(10**6):06}",
            "krn": chance.randrange(1, 10),
            "ti": chance.randrange(100),
            "base_date": "14",
        }
        data = xor(_native.pan_block(**name), _native.control_block(**name), bytes(8))
        cases.append(("DES", odd_parity(chance.randbytes(8)), data))
        names.append(name)
    answers = encrypted_elsewhere(cases)
    for name, (_, key, data), secret in zip(names, cases, answers, strict=True):
        derived = VendingKey(dkga="02", key=key).decoder_key(**name)
        assert derived.is_key(xor(secret, data, key))
