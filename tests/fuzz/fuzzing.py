"""What the fuzz targets are run by: atheris where it is installed (guided by coverage), mutations of its own otherwise.

A target is a function that takes bytes and raises when something is wrong. It returns what the input brought about, so
that inputs which bring about something new can be kept and mutated further.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

ROOT = Path(__file__).parents[2]
INPUT_LIMIT = 8192
# Seconds of processor time for one input; what takes longer is a finding.
PATIENCE = 5.0

for folder in (
    ROOT,
    ROOT / "tests",
    ROOT / "tests" / "mailcore" / "imap",
    ROOT / "tests" / "mailcore" / "pop3",
    ROOT / "tests" / "mailcore" / "message",
):
    sys.path.insert(0, str(folder))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a3mailer_site.settings")
os.environ.setdefault("A3MAILER_DATA_DIR", tempfile.mkdtemp(prefix="a3mailer-fuzz-"))


def instrumented():
    """In it, import what is to be fuzzed."""
    return atheris.instrument_imports(include=["mailcore"]) if atheris else contextlib.nullcontext()


def main(target, seeds, words):
    """Fuzz for some seconds, or try the inputs in the files named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the mutations")
    parser.add_argument("--mutations", action="store_true", help="mutate even if atheris is installed")
    parser.add_argument("files", nargs="*", type=Path, help="inputs to try again")
    options = parser.parse_args()
    patient = _patient(target)
    if options.files:
        for file in options.files:
            print(file, patient(file.read_bytes()))
    elif atheris and not options.mutations:
        _guided(patient, seeds, words, options.seconds)
    else:
        _mutated(patient, seeds, words, options)


def _patient(target):
    def patient(data):
        began = time.process_time()
        brought = target(data)
        took = time.process_time() - began
        assert took < PATIENCE, f"{took:.1f} s for {len(data)} octets"
        return brought

    return patient


def _guided(target, seeds, words, seconds):
    directory = Path(tempfile.mkdtemp(prefix="a3mailer-corpus-"))
    corpus = directory / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    dictionary = directory / "words"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words))

    def run(data):
        target(data)  # libFuzzer wants nothing back

    flags = [
        f"-dict={dictionary}",
        f"-max_len={INPUT_LIMIT}",
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-len_control=0",
    ]
    atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={directory}/", str(corpus)], run)
    print(f"findings, if any, are in {directory}")
    atheris.Fuzz()


def _escaped(word):
    return "".join(f"\\x{octet:02x}" for octet in word)


def _mutated(target, seeds, words, options):
    dice = random.Random(options.seed)
    corpus, known = list(seeds), set()
    end = time.monotonic() + options.seconds
    tried = 0
    for seed in seeds:
        known.add(target(seed))
    while time.monotonic() < end:
        data = _mutant(dice, corpus, words)
        tried += 1
        try:
            brought = target(data)
        except Exception:
            traceback.print_exc()
            print(f"\nafter {tried} inputs, this one:\n{data!r}")
            sys.exit(1)
        if brought not in known:
            known.add(brought)
            corpus.append(data)
    print(f"{tried} inputs, {len(known)} different outcomes, no finding")


def _mutant(dice, corpus, words):
    data = bytearray(dice.choice(corpus))
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(data))
        to = min(len(data), at + dice.choice((1, 2, 4, 16, 64)))
        match dice.randrange(8):
            case 0:
                del data[at:to]
            case 1:
                data[at:at] = data[at:to] * dice.choice((1, 2, 10, 200))
            case 2:
                data[at:at] = bytes([dice.randrange(256)])
            case 3 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case 4:
                other = dice.choice(corpus)
                data[at:] = other[dice.randint(0, len(other)) :]
            case 5:
                data[at:to] = dice.choice(words)
            case _:
                data[at:at] = dice.choice(words)
    return bytes(data[:INPUT_LIMIT])
