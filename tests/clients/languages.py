"""Whose examples are run, and how a user's fresh project with each of them comes to be."""

import fcntl
import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass

from pages import Page
from support import ROOT

PROJECTS = ROOT / "build/clients"
# Set by `make test-clients`: what is not installed yet is fetched from the languages' registries.
RUNS_ALL = os.environ.get("HEADGATE_CLIENTS") == "all"
CONNECTIONS = ("single", "cluster", "sentinel")
# Why a project could not be made, by its directory.
FAILURES = {}


@dataclass
class Language:
    name: str
    page: str
    tools: tuple  # without these its examples are skipped
    is_cheap: bool = False  # part of `make test`
    installs: bool = True  # the page's `install` is run in the project; else apt has all it needs
    interpreter: str = ""  # stands in for the first word of the page's `run`
    probe: str = ""  # a command that fails where the library is missing
    at_least: tuple = ()  # a command that tells a version, and the oldest that will do
    is_redis: bool = True  # it talks to Redis itself

    def is_chosen(self):
        return self.is_cheap or RUNS_ALL

    def why_not(self):
        """Why its examples can't be run here, or ''."""
        missing = [tool for tool in self.tools if not shutil.which(tool)]
        if missing:
            return f"{self.name}: not installed: {', '.join(missing)}"
        if self.probe and subprocess.run(shlex.split(self.probe), capture_output=True).returncode:
            return f"{self.name}: this fails: {self.probe}"
        if self.at_least:
            command, oldest = self.at_least
            told = subprocess.run(shlex.split(command), capture_output=True, text=True).stdout
            version = re.search(r"\d+(\.\d+)*", told)
            if not version or number(version[0]) < number(oldest):
                return f"{self.name}: {command} says {told.strip()}, {oldest} is needed"
        return ""


def number(version):
    return [int(part) for part in version.split(".")]


LANGUAGES = [
    Language("python-apt", "python.md", (), is_cheap=True, installs=False,
             interpreter="/usr/bin/python3", probe="/usr/bin/python3 -c 'import redis'"),
    Language("asyncio-apt", "python-asyncio.md", (), is_cheap=True, installs=False,
             interpreter="/usr/bin/python3", probe="/usr/bin/python3 -c 'import redis.asyncio'"),
    Language("shell", "shell.md", ("redis-cli", "curl", "jq"), is_cheap=True, installs=False),
    Language("http", "http.md", ("curl", "jq"), is_cheap=True, installs=False, is_redis=False),
    Language("python", "python.md", ("python3",)),
    Language("asyncio", "python-asyncio.md", ("python3",)),
    Language("node", "node.md", ("node", "npm"), at_least=("node --version", "20")),
    Language("go", "go.md", ("go",), at_least=("go env GOVERSION", "1.26")),
    Language("java", "java.md", ("javac", "mvn"), at_least=("javac -version", "11")),
    Language("rust", "rust.md", ("cargo",), at_least=("cargo --version", "1.88")),
    Language("ruby", "ruby.md", ("ruby",), installs=False, probe="ruby -e 'require \"redis\"'"),
    Language("php", "php.md", ("php",), installs=False,
             probe="php -r 'exit(extension_loaded(\"redis\") ? 0 : 1);'"),
]


def environment():
    """The caller's, with the caches of the package managers under build/."""
    cache = PROJECTS / "cache"
    return {
        **os.environ,
        "PIP_CACHE_DIR": str(cache / "pip"),
        "npm_config_cache": str(cache / "npm"),
        "GOMODCACHE": str(cache / "go"),
        "GOCACHE": str(cache / "go-build"),
        "GOFLAGS": "-modcacherw",
        "MAVEN_OPTS": f"-Dmaven.repo.local={cache / 'm2'}",
    }


def sh(script, directory):
    done = subprocess.run(["sh", "-eu"], input=script, cwd=directory, env=environment(), text=True,
                          capture_output=True)
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


class Project:
    """A fresh project with a page's example, as a user makes it: files, `install`, `build`."""

    def __init__(self, language, connection):
        self.language = language
        self.connection = connection
        self.directory = PROJECTS / language.name / connection

    @functools.cached_property
    def page(self):
        return Page(self.language.page)

    def files(self):
        name, text = self.page.connected(self.connection)
        return {**self.page.files(), name: text}

    def steps(self):
        install = self.page.blocks["install"] if self.language.installs else ""
        return (install, self.page.blocks.get("build", ""))

    def try_to_make(self):
        try:
            self.make()
        except Exception as failure:  # its own tests fail by it, no others
            FAILURES[self.directory] = f"{type(failure).__name__}: {failure}"

    def make(self):
        """Once for the same page: what it is made of is kept beside it."""
        recipe = repr((sorted(self.files().items()), self.steps()))
        digest = hashlib.sha256(recipe.encode()).hexdigest()
        stamp = self.directory / ".made-of"
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with open(self.directory.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stamp.exists() or stamp.read_text() != digest:
                self._make_anew()
                stamp.write_text(digest)
        return self

    def _make_anew(self):
        """What `install` brings is the same for all connections."""
        install, build = self.steps()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.connection != "single" and install:
            single = Project(self.language, "single").make()
            shutil.copytree(single.directory, self.directory, symlinks=True,
                            ignore=shutil.ignore_patterns(".made-of"))
            install = ""
        for name, text in self.files().items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        sh(install + build, self.directory)

    def command(self, text, seconds):
        """The page's `run`, with another text and time."""
        *command, _, _ = shlex.split(self.page.blocks["run"])
        if self.language.interpreter:
            command[0] = self.language.interpreter
        return [*command, text, str(seconds)]

    def start(self, text, seconds):
        failure = FAILURES.get(self.directory)
        assert not failure, failure
        return subprocess.Popen(self.command(text, seconds), cwd=self.directory, env=environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
