"""One small example of every format that is read: rows as its files have them, with Chinese in each."""

from __future__ import annotations

import json

Q, A, B = "为什么天空是蓝色的？", "因为空气散射蓝光。", "Nobody knows."
ASK = [{"role": "user", "content": Q}]
GOOD = [{"role": "assistant", "content": A}]
BAD = [{"role": "assistant", "content": B}]
HH = "\n\nHuman: {}\n\nAssistant: {}"
ARGUMENT = {"debate_title": "Ban plastic bottles", "stance": "No", "topic": "ban"}
SCORES = {"helpfulness": 4, "correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 1}


def _rated(text: str, points: str, overall: float) -> dict:
    return {
        "response": text,
        "model": "m",
        "annotations": {"helpfulness": {"Rating": points, "Rationale": "..."}, "honesty": {"Rating": "N/A"}},
        "overall_score": overall,
    }


EXAMPLES: dict[str, list[dict]] = {
    "prompts": [{"prompt": Q, "tags": ["sky"], "language": "zh"}, {"messages": ASK[:1], "id": 4}],
    "responses": [{"prompt": Q, "responses": [{"text": A, "generator": "m1"}, {"text": B, "generator": "m2"}]}],
    "rankings": [
        {
            "comparison": "7",
            "dimension": "helpfulness",
            "split": "train",
            "prompt": ASK,
            "responses": [{"id": "1", "text": A, "generator": "g"}, {"id": "2", "text": B, "generator": "g"}],
            "rankings": [{"ranks": [1, 2], "weight": 1.0, "annotator": "a1", "strengths": [2, None]}],
            "tags": ["sky"],
        }
    ],
    "pairs": [
        {
            "prompt": ASK,
            "chosen": GOOD,
            "rejected": BAD,
            "dimension": "helpfulness",
            "margin": 1.5,
            "weight": 2.0,
            "preference": 0.75,
            "split": "test",
            "comparison": "7",
            "chosen_response": "1",
            "rejected_response": "2",
        }
    ],
    "trl-preference": [
        {"prompt": Q, "chosen": A, "rejected": B},
        {"prompt": ASK, "chosen": GOOD, "rejected": BAD, "margin": 2},
        {"chosen": ASK + GOOD, "rejected": ASK + BAD},
    ],
    "trl-implicit": [{"chosen": f"{Q}? {A}", "rejected": f"{Q}? {B}"}],
    "trl-unpaired": [
        {"prompt": Q, "completion": A, "label": True},
        {"prompt": ASK, "completion": BAD, "label": False},
    ],
    "trl-completion": [{"prompt": Q, "completion": A}, {"prompt": ASK, "completion": GOOD}],
    "hh": [{"chosen": HH.format(Q, A), "rejected": HH.format(Q, B)}],
    "openai": [{"messages": [{"role": "system", "content": "Be kind."}, *ASK, *GOOD]}],
    "openai-preference": [{"input": {"messages": ASK}, "preferred_output": GOOD, "non_preferred_output": BAD}],
    "sharegpt": [{"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}], "system": "Be kind."}],
    "sharegpt-preference": [
        {
            "conversations": [{"from": "human", "value": Q}],
            "chosen": {"from": "gpt", "value": A},
            "rejected": {"from": "gpt", "value": B},
        }
    ],
    "alpaca": [{"instruction": Q, "input": "简短", "output": A}],
    "alpaca-ranking": [{"instruction": Q, "input": "", "output": [A, B, "?"]}],
    "alpaca-preference": [{"instruction": Q, "input": "", "chosen": A, "rejected": B}],
    "oasst": [
        {
            "message_tree_id": "t",
            "prompt": {
                "text": Q,
                "role": "prompter",
                "lang": "zh",
                "message_id": "m0",
                "replies": [
                    {"text": B, "role": "assistant", "rank": 1, "replies": []},
                    {"text": A, "role": "assistant", "rank": 0, "replies": []},
                ],
            },
        }
    ],
    "oasst-messages": [
        {"message_id": "m0", "parent_id": None, "message_tree_id": "t", "text": Q, "role": "prompter", "lang": "zh"},
        {
            "message_id": "m1",
            "parent_id": "m0",
            "message_tree_id": "t",
            "text": B,
            "role": "assistant",
            "rank": 1.0,
            "lang": "zh",
        },
        {
            "message_id": "m2",
            "parent_id": "m0",
            "message_tree_id": "t",
            "text": A,
            "role": "assistant",
            "rank": 0.0,
            "lang": "zh",
        },
    ],
    "ultrafeedback": [
        {"source": "s", "instruction": Q, "models": ["m"], "completions": [_rated(A, "5", 8.5), _rated(B, "2", 8.5)]}
    ],
    "ultrafeedback-binarized": [
        {
            "prompt": Q,
            "prompt_id": "p",
            "chosen": ASK + GOOD,
            "rejected": ASK + BAD,
            "messages": ASK + GOOD,
            "score_chosen": 8.0,
            "score_rejected": 3.5,
        }
    ],
    "helpsteer": [
        {"prompt": Q, "response": A, **SCORES},
        {"prompt": Q, "response": B, **SCORES, "helpfulness": 1, "verbosity": 0},
    ],
    "helpsteer2-preference": [
        {
            "prompt": f"Hi<extra_id_1>Assistant\nHello\n<extra_id_1>User\n{Q}",
            "response_1": A,
            "response_2": B,
            "preference_strength": -2,
            "preference_statement": "...",
            "split": "train",
        }
    ],
    "helpsteer3": [
        {
            "domain": "general",
            "language": "chinese",
            "context": ASK,
            "response1": B,
            "response2": A,
            "overall_preference": 2,
            "individual_preference": [
                {"score": 3, "reasoning": "..."},
                {"score": 0, "reasoning": "..."},
                {"score": -1, "reasoning": "..."},
            ],
        }
    ],
    "finegrained": [
        {
            "question": Q,
            "passages": [["Sky", "The sky."]],
            **{f"prediction {i + 1}": f"{A}{i}" for i in range(4)},
            "preference": [1, 0, 1, 2, 0, 1],
        },
        {
            "question": Q,
            "passages": [],
            **{f"prediction {i + 1}": f"{A}{i}" for i in range(4)},
            "preference": [1, 2, 1, 1, 1, 1],
        },
    ],
    "mt-bench": [
        {
            "question_id": 81,
            "turn": turn,
            "model_a": "m1",
            "model_b": "m2",
            "judge": judge,
            "winner": winner,
            "conversation_a": [*ASK, *GOOD, *ASK, *GOOD],
            "conversation_b": [*ASK, *BAD, *ASK, *BAD],
        }
        for turn, judge, winner in ((1, "author_1", "model_a"), (1, "author_2", "tie"), (2, "author_1", "model_b"))
    ],
    "mt-bench-questions": [{"question_id": 81, "category": "writing", "turns": [Q, "Shorter."]}],
    "llmfao": [
        {
            "id": 0,
            "prompt": 8,
            "model_x": 97,
            "model_y": 98,
            "worker": worker,
            "winner": winner,
            "left": "L",
            "right": "R",
        }
        for worker, winner in ((1, "left"), (2, "tie"), (3, "right"))
    ],
    "llmfao-pairs": [{"id": 0, "prompt": 8, "text": Q, "model_x": 97, "result_x": A, "model_y": 98, "result_y": B}],
    "ukp": [
        {
            "topic": "ban",
            "pair": "arg1_arg2",
            "a1": "arg1",
            "a2": "arg2",
            "worker": "w1",
            "value": "a2",
            "reason": "clear",
        }
    ],
    "ukp-arguments": [{**ARGUMENT, "arg_id": "arg1", "text": A}, {**ARGUMENT, "arg_id": "arg2", "text": B}],
    "pandalm": [
        {
            "idx": 0,
            "cmp_key": "bloom-7b_llama-7b",
            "instruction": Q,
            "input": "",
            "response1": A,
            "response2": True,
            "annotator1": 1,
            "annotator2": 0,
            "annotator3": 2,
        }
    ],
    "tulu": [
        {
            "instance_id": "i",
            "prompt": Q,
            "model_a": "m1",
            "model_b": "m2",
            "completion_a": A,
            "completion_b": B,
            "completion_a_is_acceptable": "yes",
            "completion_b_is_acceptable": "no",
            "preference": "a-is-slightly-better",
            "evaluator": "yo",
        }
    ],
    "tulu-instances": [
        {"id": "i", "prompt": Q, "completions": [{"model": "m1", "completion": A}, {"model": "m2", "completion": B}]}
    ],
    "self-instruct": [{"id": "t", "instruction": Q, "instances": [{"input": "", "output": A}]}],
    "self-instruct-predictions": [{"prompt": Q, "instruction": Q, "input": "", "response": A, "target": B}],
    "label-studio": [
        {
            "id": 1,
            "data": {"prompt": Q, "answer1": A, "answer2": B},
            "annotations": [
                {"completed_by": 5, "result": [{"type": "pairwise", "value": {"selected": "left"}, "to_name": "x,y"}]}
            ],
        },
        {
            "id": 2,
            "data": {
                "prompt": Q,
                "items": [{"id": "i1", "body": A}, {"id": "i2", "body": B}, {"id": "i3", "body": "?"}],
            },
            "annotations": [
                {"completed_by": {"email": "kim"}, "result": [{"type": "ranker", "value": {"ranker": ["i2", "i1"]}}]},
                {
                    "completed_by": 5,
                    "result": [{"type": "ranker", "value": {"ranker": {"_": ["i3"], "best": ["i1", "i2"]}}}],
                },
            ],
        },
    ],
    "argilla": [
        {
            "id": "r",
            "fields": {"prompt": Q, "response-1": A, "response-2": B},
            "responses": {
                "ranking": [
                    {"user_id": "u1", "value": ["response-2", "response-1"]},
                    {
                        "user_id": "u2",
                        "value": [{"value": "response-1", "rank": 1}, {"value": "response-2", "rank": 1}],
                    },
                ]
            },
            "suggestions": {},
        },
        {
            "id": "s",
            "fields": {"prompt": Q, "response1": A, "response2": B},
            "responses": {},
            "suggestions": {
                "response1-quality": {"value": 5, "agent": "gpt"},
                "response2-quality": {"value": 3, "agent": "gpt"},
            },
        },
    ],
}

COMPANIONS: dict[str, list[dict]] = {"llmfao": EXAMPLES["llmfao-pairs"], "ukp": EXAMPLES["ukp-arguments"]}


def jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
