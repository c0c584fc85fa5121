"""A word-level tokenizer whose tokens carry their leading space, as GPT-2's do.

Words are cut by the byte-level rule, so that " Mary" is one token, written `ĠMary` in the vocabulary
and decoded with its space. Numbers are cut every two digits (" 1732" is " 17" and "32"), runs of white
space count as one space, and a beginning token is put in front by the template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIALS = (PAD, BOS, EOS, UNK)


def build(texts: Iterable[str], model_max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of `texts` and nothing else.

    Args:
        texts: Every token must occur in one of them exactly as it is to be known: "Mary" and " Mary"
            are two tokens.
        model_max_length: Positions the model has, in tokens.

    Returns:
        A fast tokenizer that pads on the left and starts every text with `<bos>`.

    Example:
        >>> tokenizer = build([" Mary", "When"], model_max_length=32)
        >>> tokenizer("When Mary").tokens()
        ['<bos>', 'When', 'ĠMary']
        >>> tokenizer("When Zorro").tokens()
        ['<bos>', 'When', '<unk>']
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{N}{1,2}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    vocab = {token: index for index, token in enumerate(SPECIALS)}
    for text in texts:
        for piece, _ in cut.pre_tokenize_str(text):
            vocab.setdefault(piece, len(vocab))
    core = Tokenizer(models.WordLevel(vocab, unk_token=UNK))
    # The right end is stripped as well: a trailing space would otherwise be an unknown word, and the
    # left end is not, because " Mary" and "Mary" differ.
    core.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(left=False, right=True)]
    )
    core.pre_tokenizer = cut
    core.decoder = decoders.ByteLevel()
    return _finish(core, model_max_length)


def build_spaceless(words: Iterable[str], model_max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer that knows some words, for which spaces only part words.

    A word is one token wherever it stands, so that a text repeats itself token by token from its first
    word on, and "12+45=" reads as "12 + 45 =" does.

    Args:
        words: Letters and digits, or punctuation; none holds a space.
        model_max_length: Positions the model has, in tokens.

    Returns:
        A fast tokenizer that pads on the left and starts every text with `<bos>`.

    Example:
        >>> tokenizer = build_spaceless(["12", "45", "+", "="], model_max_length=8)
        >>> tokenizer("12+45 =").tokens()
        ['<bos>', '12', '+', '45', '=']
        >>> tokenizer.decode(tokenizer("12+45=").input_ids, skip_special_tokens=True)
        '12 + 45 ='
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocab = {token: index for index, token in enumerate((*SPECIALS, *words))}
    core = Tokenizer(models.WordLevel(vocab, unk_token=UNK))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return _finish(core, model_max_length)


def _finish(core: Tokenizer, model_max_length: int) -> PreTrainedTokenizerFast:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        pad_token=PAD,
        padding_side="left",
        model_max_length=model_max_length,
        clean_up_tokenization_spaces=False,
    )
