"""The queue's scripts keep their promises in any order of steps; and the model would find it if not."""

import pytest
from box import Box
from disorder import actions_of
from model import STEPS, run, shorten
from mutations import MUTATIONS

SEEDS, SEEDS_OF_A_MUTATION = 20, range(200, 260)


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    box = Box(tmp_path_factory.mktemp("box"))
    yield box
    box.close()


def test_every_promise_is_kept_whatever_the_order_of_steps(box):
    for seed in range(SEEDS):
        broken, trace = run(box, actions_of(seed, STEPS))
        assert not broken, f"SEED={seed}: {broken}\n" + "\n".join(trace)


def test_the_same_seed_is_the_same_run(box):
    assert run(box, actions_of(7, STEPS))[1] == run(box, actions_of(7, STEPS))[1]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_script_is_found(box, mutation):
    assert any(run(box, actions_of(seed, STEPS), mutation)[0]
               for seed in SEEDS_OF_A_MUTATION), "nobody has noticed"


def test_a_run_that_breaks_a_promise_is_shortened(box):
    mutation = MUTATIONS[3]
    seed, broken = next((seed, broken) for seed in SEEDS_OF_A_MUTATION
                        if (broken := run(box, actions_of(seed, STEPS), mutation)[0]))
    fewer = shorten(box, actions_of(seed, STEPS), broken.promise, mutation)
    assert len(fewer) < STEPS / 2
    assert run(box, fewer, mutation)[0].promise == broken.promise
