"""Questions in the answers of language models: found, laid bare, or told from what is none."""

import pytest

from gateway.evaluation.questions import find_question, gist

FOUND = {
    "plain": ("What?", "What?"),
    "its first line": ('\n\n "What?"\nBecause.', "What?"),
    "blanks": ("  What   is\tit? ", "What is it?"),
    "a thought before": ("<think>Who asks?\nWhat?</think>\n\nWhy?", "Why?"),
    "a thought whose beginning the server took": ("Who asks?\n</think>\nWhy?", "Why?"),
    "two thoughts": ("<think>a</think><THINK>b</THINK>Why?", "Why?"),
    "a fence": ("```\nWhat?\n```", "What?"),
    "a fence with a language": ("~~~text\nWhat?\n~~~", "What?"),
    "code": ("`What?`", "What?"),
    "a number": ("1. What?\n2. Why?", "What?"),
    "a number in brackets": ("(2) What?", "What?"),
    "a dash": ("- What?", "What?"),
    "a star": ("* What?", "What?"),
    "a point": ("• What?", "What?"),
    "a heading": ("## What?", "What?"),
    "a quotation": ("> What?", "What?"),
    "bold": ("**What?**", "What?"),
    "bold that is left open": ("**What?", "What?"),
    "italic": ("*What?*", "What?"),
    "bold inside": ("What is **red**?", "What is red?"),
    "a bold label": ("**Question:** What?", "What?"),
    "a label with bold words": ("**Question**: What?", "What?"),
    "a numbered label": ("Question 1: What?", "What?"),
    "a label with a blank": ("question : What?", "What?"),
    "a short label": ("Q: What?", "What?"),
    "a label of search": ("Search query: red things", "red things"),
    "a label in another script": ("问题：什么是红色？", "什么是红色？"),
    "a label on its own line": ("**Question:**\nWhat?", "What?"),
    "an announcement": ("Sure! Here is a question for this passage:\n\n- What?", "What?"),
    "an announcement before": ("Here's the question: What?", "What?"),
    "all at once": ('<think>hm</think>\n```\n1. **Question:** "What?"\n```', "What?"),
    "other quotes": ("„What?“", "What?"),
    "another language": ("Question: Что это?", "Что это?"),
    "NUL": ("What\x00?", "What?"),
}
KEPT = (
    'What is "red"?',
    '"Red" or "blue"?',
    "What does __init__ do?",
    "What does SELECT * do?",
    "1984: who wrote it?",
    "3.5 inches, or 3?",
    "Question marks: why so many?",
    "Queries: how fast are they?",
    "-5 degrees: what freezes?",
    "Is a*b*c the same as c*b*a?",
    "I cannot help my child with homework, what now?",
    "I can't connect to the printer",
    "I'm sorry lyrics",
    "Sorry seems to be the hardest word",
    "As an AI engineer, what do I earn?",
    "As an AI engineer, how do I deploy a model",
    "As an AI engineer, I need a model on two cards",
    "As a language model user what limits apply",
    "as an aid to memory",
    "I cannot create a collection with size 512",
    "I cannot create a query that joins two tables",
    "I can't write to the disk after upgrade",
    "I can't answer the phone while it charges",
    "I cannot comply with the retention policy",
    "I cannot help my child with homework",
    "I am unable to generate vectors on a GPU",
)
NONE = ("", " \n ", "...", "?!", "-", "1.", "```\n```", "Question:", "**Question:**", "Here it is:")
REFUSALS = (
    "I cannot help with that.",
    "I can’t assist with this request.\nIs there anything else?",
    "I'm sorry, but the passage says too little.",
    "I am sorry but no.",
    "Sorry, I can't do that.",
    "Unfortunately, I am unable to write a question.",
    "As an AI language model, I do not read.",
    "I apologize for the inconvenience.",
    "Es tut mir leid, das geht nicht.",
    "**I cannot provide a question.**",
    "I cannot answer this question based on the passage.",
    "I’m not able to come up with a good search query here",
    "I can't create a query for this passage",
    "I cannot comply.",
    "I can't provide information or guidance on illegal activities.",
    "I can't create explicit content that harms people",
    "I won't do that",
    "As an AI, I cannot tell.",
    "As a large language model trained by Google, I have no opinion.",
)
THOUGHTS = ("<think>What is red?", "<think>\nWhat?\nWhy?", "What? <thinking>So", "What?</think> ")


@pytest.mark.parametrize("case", FOUND)
def test_the_question_of_an_answer_is_laid_bare(case: str) -> None:
    answer, question = FOUND[case]
    assert find_question(answer) == question


@pytest.mark.parametrize("question", KEPT)
def test_what_belongs_to_a_question_is_kept(question: str) -> None:
    assert find_question(question) == question


@pytest.mark.parametrize("answer", [*NONE, *THOUGHTS, *REFUSALS])
def test_an_answer_may_have_no_question(answer: str) -> None:
    assert find_question(answer) == ""


def test_a_long_question_is_cut_between_words() -> None:
    assert find_question("word " * 100) == ("word " * 60).strip()
    assert find_question("w" * 200 + " " + "x" * 200) == "w" * 200
    assert find_question("x" * 298 + " y z") == "x" * 298 + " y"
    assert find_question("字" * 400) == "字" * 300, "there are no blanks to cut at"
    assert find_question("x" * 300) == "x" * 300


@pytest.mark.parametrize(
    "other", ["what is  red", "What is Red?", "WHAT IS RED!", " What is red ？"]
)
def test_questions_that_ask_the_same_have_one_gist(other: str) -> None:
    assert gist(other) == gist("What is red?")
    assert gist(other) != gist("What is read?")
