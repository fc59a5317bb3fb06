"""Word by word: would a release have said what the champion said?

The release is given the conversation and the champion's answer, and each of the answer's tokens
counts as kept where it is the one that the release itself would have put there. Letting both talk
freely and comparing what comes out says less: greedy decoding turns one near tie into another
answer, so that a champion served in bfloat16 agrees with itself on some 80 % of prompts only, and
no loss of a few points can be seen in that noise.
"""

import asyncio
from collections.abc import Sequence

from loop_platform.chat import Body, Chat, Reply

AGREES = 0.8
"""Share of an answer's tokens from which a release agrees with it."""


def asked_again(
    chats: Sequence[Chat], prompts: Sequence[Body], said: Sequence[Reply], in_flight: int
) -> list[list[Reply]]:
    """For each of `chats` a reply a prompt, whose `ranks` are those of what was said.

    A prompt is a request's body: `messages`, and what else shapes what the model reads.
    """
    bodies = [
        {
            **prompt,
            "messages": [*prompt["messages"], {"role": "assistant", "content": reply.text}],
            "continue_final_message": True,
            "add_generation_prompt": False,
            "prompt_logprobs": 0,
            "max_tokens": 1,
            "temperature": 0,
        }
        for prompt, reply in zip(prompts, said, strict=True)
    ]

    async def ask() -> list[list[Reply]]:
        return await asyncio.gather(*(chat.ask(bodies, in_flight) for chat in chats))

    return asyncio.run(ask())


def kept(said: Sequence[Reply], again: Sequence[Reply]) -> list[float]:
    """The share of each answer's tokens that were ranked first; 0 where no reply came."""
    return [_share(reply, other) for reply, other in zip(said, again, strict=True)]


def _share(said: Reply, again: Reply) -> float:
    tokens = again.prompt_tokens - said.prompt_tokens
    if again.error is not None or tokens <= 0:
        return 1.0 if again.error is None else 0.0  # nothing was said: nothing can be lost
    return sum(rank == 1 for rank in again.ranks[-tokens:]) / tokens
