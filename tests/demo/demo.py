"""make demo: ten users, two workers, one tight quota, on this machine and without an AWS account.

KEEP=1 leaves everything running and says what to try. REAL=1 calls Amazon Bedrock with your
account instead of the simulator; it asks first (REAL=yes: it does not).
"""

import os
import signal
import sys
import time
from pathlib import Path

import report
from house import HEADGATE, DemoError, House, simulated_environment, simulated_quotas
from users import QUEUE, USERS, Crowd, Redis, curl, read_sections

RUN_SECONDS = 120
NOT_READY_SECONDS = 5
# Bytes of the built-in `analyze` prompt around a section, and the most that it lets a model write.
PROMPT_BYTES = 3800
MAX_OUTPUT_TOKENS = 2048


# ---- REAL=1 ----

def has_credentials():
    home = Path.home() / ".aws"
    names = ("AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE",
             "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
    return any(os.environ.get(name) for name in names) or \
        any((home / name).exists() for name in ("credentials", "config"))


def real_environment():
    """The user's own, without what would lead the workers elsewhere."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("HEADGATE_") and name != "USE_CELERY"}
    if not env.get("BEDROCK_MODEL_ID"):
        raise DemoError("REAL=1 needs BEDROCK_MODEL_ID: the model to call, one that your account "
                        "has access to")
    if not has_credentials():
        raise DemoError("REAL=1 needs AWS credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID with "
                        "AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK")
    return env


def ask_before_spending(env, sections):
    tokens_in = sum(PROMPT_BYTES + len(section["content"]) for section in sections) // 4
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "the region of your profile"
    print(f"This will make about {USERS} calls to {env['BEDROCK_MODEL_ID']} in {region} with your "
          f"account,\nfor roughly {tokens_in:,} tokens in and at most "
          f"{USERS * MAX_OUTPUT_TOKENS:,} tokens out.")
    if os.environ["REAL"] == "yes":
        return
    if not sys.stdin.isatty():
        raise DemoError("nobody can be asked here; REAL=yes goes on without asking")
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise DemoError("nothing was called")


# ---- the run ----

def models_of(env):
    fallbacks = env.get("BEDROCK_FALLBACK_MODELS", "").split(",")
    return [env["BEDROCK_MODEL_ID"], *(name.strip() for name in fallbacks if name.strip())]


def read_figures(redis, models):
    """The cluster's counters of each model."""
    names = ("calls", "successes", "throttles", "errors")
    figures = {}
    for model in models:
        values = redis("HMGET", f"headgate:{{m:{model}}}:stats", *names)
        figures[model] = {name: int(value or 0) for name, value in zip(names, values)}
    return figures


def open_house(house, env):
    began = time.monotonic()
    house.open_redis()
    if env is None:
        house.open_sim()
        env = simulated_environment(house.sim.port)
    house.open_workers(env)
    what = "Redis, the Bedrock simulator and" if house.sim else "Redis and"
    print(f"{what} two workers are up after {time.monotonic() - began:.1f} s.")
    if house.sim:
        for model, quota in simulated_quotas().items():
            print(f"  {model}: {quota['per_minute']} requests a minute, burst {quota['burst']}")
    return models_of(env)


def announce(crowd):
    half = USERS // 2
    print(f"{USERS} users, {crowd.board.total} jobs. Users 1 to {half}:\n"
          f"  curl -X POST {crowd.analyze_url} -H 'Content-Type: application/json' -d '{{...}}'\n"
          f"users {half + 1} to {USERS}:\n"
          f"  redis-cli -s {crowd.house.socket} RPUSH {QUEUE} '{{...}}'\n", flush=True)


class Watch:
    """Notices what would make the demo wait for ever."""

    def __init__(self, house, board):
        self.house = house
        self.board = board
        self.ready_at = time.monotonic()

    def check(self):
        self.house.check()
        if self.board.failures:
            raise DemoError(self.board.failures[0])
        why_not = self.house.not_ready()
        if why_not is None:
            self.ready_at = time.monotonic()
        elif time.monotonic() - self.ready_at > NOT_READY_SECONDS:
            raise why_not
        if self.board.elapsed > RUN_SECONDS:
            raise self.house.workers[0].failed(
                f"and its peer have finished {self.board.done} of {self.board.total} jobs in "
                f"{RUN_SECONDS} s")


def run_jobs(house, crowd, redis, models):
    board = crowd.start()
    watch = Watch(house, board)
    progress = report.Progress()
    while board.done < board.total:
        progress.show(board, report.throttles_of(read_figures(redis, models)))
        watch.check()
        time.sleep(report.TICK_SECONDS)
    time.sleep(report.TICK_SECONDS)  # workers write their counters ten times a second
    progress.show(board, report.throttles_of(read_figures(redis, models)), is_last=True)
    return board


def print_report(house, board, redis, models):
    figures = read_figures(redis, models)
    print()
    report.print_figures(board, figures, house.cooldowns())
    if house.sim:
        report.print_cross_check(figures, house.sim_figures())
        print("  Its quotas were chosen to come close to the published figures, whose load and "
              "quotas\n  are not known: read the columns as days of the same kind, not as the "
              "same day.")
    report.print_result(board)
    url = f"http://127.0.0.1:{house.workers[0].port}/model_stats"
    report.print_model_stats(url, curl(url))


# ---- KEEP=1 ----

def print_what_to_try(house, models):
    first, second = house.workers
    headgate = os.path.relpath(HEADGATE)
    job = '{"id":"mine","section_name":"Test","content":"The pump failed because it was old."}'
    print(f"""
Everything keeps running; logs are in {house.directory}. Try:

  curl -X POST 'http://127.0.0.1:{first.port}/analyze_section?wait=20' \\
       -H 'Content-Type: application/json' -d '{job}'
  curl http://127.0.0.1:{second.port}/queue_stats
  curl http://127.0.0.1:{second.port}/metrics

  redis-cli -s {house.socket} RPUSH {QUEUE} '{job.replace("mine", "pushed")}'
  redis-cli -s {house.socket} BLPOP 'headgate:{{{QUEUE}}}:reply:pushed' 20

  export REDIS_URL={house.redis_url}
  export BEDROCK_MODEL_ID={models[0]} BEDROCK_FALLBACK_MODELS={','.join(models[1:])}
  {headgate} stats --watch

  for i in $(seq 40); do {headgate} enqueue --field content="Test $i"; done
  kill -9 {first.pid}      # worker 1: within 12 s worker 2 takes over what it held
  tail -f {second.log_path}""")


def keep(house, models):
    print_what_to_try(house, models)
    if sys.stdin.isatty():
        input("\nPress Enter to stop. ")
        return
    house.is_kept = True
    pids = " ".join(str(service.pid) for service in reversed(house.services))
    print(f"\nTo stop:\n  kill {pids}; rm -r {house.directory}")


# ---- main ----

def is_set(name):
    return os.environ.get(name, "") not in ("", "0", "no")


def run():
    sections = read_sections()
    env = None
    if is_set("REAL"):
        env = real_environment()
        ask_before_spending(env, sections)
    with House() as house:
        models = open_house(house, env)
        redis = Redis(house.socket)
        crowd = Crowd(house, sections, jobs_each=1 if env else len(sections))
        announce(crowd)
        board = run_jobs(house, crowd, redis, models)
        print_report(house, board, redis, models)
        if is_set("KEEP"):
            keep(house, models)
    if not is_set("KEEP"):
        print("\nEverything is stopped again. KEEP=1 make demo leaves it running to try things.")
    return 0 if len(board.succeeded) == board.total else 1


def on_signal(number, _):
    sys.exit(128 + number)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        return run()
    except DemoError as error:
        print(f"\n{error.log}" if error.log else "", file=sys.stderr)
        print(f"demo: {error}", file=sys.stderr)
    except SystemExit:
        print("\ndemo: stopped, nothing is left running", file=sys.stderr)
        raise
    except BrokenPipeError:  # who reads has seen enough; nor can the rest be flushed to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


if __name__ == "__main__":
    sys.exit(main())
