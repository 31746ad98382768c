"""What a fine-tuning strategy may say."""

import pytest

from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError

EXPECTED = {
    "f_c": [({"connector": "full"}, ("connector",))],
    "f_l": [({"llm": "lora"}, ("llm",))],
    "f_cl": [({"connector": "full", "llm": "lora"}, ("connector", "llm"))],
    "f_2stage": [({"connector": "full"}, ("connector",)), ({"llm": "lora"}, ("llm",))],
    "share_lora": [({"connector": "full", "llm": "lora"}, ("llm",))],
    "share_connector": [({"connector": "full", "llm": "lora"}, ("connector",))],
    "full_connector_llm": [({"connector": "full", "llm": "full"}, ("connector", "llm"))],
    "full_llm": [({"llm": "full"}, ("llm",))],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_shipped_one_trains_and_shares_what_its_name_says(name):
    stages = compose({"overrides": f"tuning={name}"}).tuning.stages
    assert [(stage.trained, stage.shared) for stage in stages] == EXPECTED[name]


def test_a_stage_has_its_own_rounds_and_rate():
    config = compose(
        {"overrides": "tuning=f_2stage tuning.stages.0.num_rounds=3 tuning.stages.1.lr=0.1"}
    )
    assert (config.rounds_of(0), config.rounds_of(1), config.all_rounds) == (3, 8, 11)
    assert config.tuning.stages[1].lr == 0.1


def test_patterns_are_given_on_the_command_line():
    words = (
        "tuning.lora.rank_pattern={.*q_proj:4,layers.0.mlp.up_proj:2} tuning.lora.target_pattern=.*"
    )
    lora = compose({"overrides": words}).tuning.lora
    assert lora.rank_pattern == {".*q_proj": 4, "layers.0.mlp.up_proj": 2}
    assert lora.target_pattern == ".*"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tuning=share_lora tuning.stages.0.share=[vision]", "vision"),
        ("tuning=share_lora tuning.stages.0.share=[]", "algorithm=local"),
        (
            "tuning.stages=[{train:{connector:full,llm:lora},share:[llm]},{train:{llm:lora}}]",
            "private",
        ),
        ("tuning.stages=[{train:{llm:full}},{train:{llm:lora}}]", "full and as lora"),
        ("tuning.lora.targets=[]", "targets"),
        ("tuning.lora.targets=[q_proj] tuning.lora.target_pattern=.*", "both say"),
        ('tuning.lora.target_pattern="q("', r"target_pattern='q\(' is no regular expression"),
        ("tuning.lora.rank_pattern={*q:3}", "is no regular expression"),
        ("tuning.lora.rank_pattern={q:0}", r"rank_pattern.*0"),
        ("tuning.lora.rank_of=[]", "rank_of"),
        ("tuning.lora.rank_of=[2,16]", r"rank_of holds the rank 16, which must be in \[1, 8\]"),
        ("tuning.lora.rank_of=[2,4] tuning.lora.init=pissa", "pissa takes the whole product"),
        ("tuning.lora.init=zero", "init"),
    ],
)
def test_contradictions_are_refused(override, said):
    with pytest.raises(ConfigError, match=said):
        compose({"overrides": " ".join(f"'{word}'" for word in override.split(" "))})


@pytest.mark.parametrize(
    ("words", "rounds"),
    [
        ("num_rounds=7", [7, 7]),
        ("num_rounds=7 split_rounds=true", [4, 3]),
        ("num_rounds=7 split_rounds=true tuning.stages.0.num_rounds=2", [2, 7]),
    ],
)
def test_stages_may_share_the_rounds(words, rounds):
    config = compose({"overrides": f"tuning=f_2stage {words}"})
    assert [config.rounds_of(stage) for stage in (0, 1)] == rounds
    assert config.all_rounds == sum(rounds)


def test_no_stage_is_left_without_a_round():
    with pytest.raises(ConfigError, match=r"num_rounds=1 for 2 stages; raise it"):
        compose({"overrides": "tuning=f_2stage num_rounds=1 split_rounds=true"})
