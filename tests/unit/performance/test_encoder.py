"""The text encoder: learned by transfer, read offline from safetensors, refused when it is not what its card says.

The base is a BERT of one small layer with a tokenizer of its own, built here and trained in a second; a studio brings a
real one in the same layout.
"""

import json
import socket

import pytest
import torch

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import InputRefused, ModelRefused
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.performance.emotion import propose
from memorial_tasks.performance.encoder import CARD, FOLDER, HEAD, WEIGHTS, file_digests, installed, load_encoder
from memorial_tasks.performance.fine_tune import Recipe, fine_tune, from_lexicon, parted, written

transformers = pytest.importorskip("transformers", reason="the extra 'direction' is optional")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small BERT in Hugging Face's layout: words for English, characters for Chinese."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder = tmp_path_factory.mktemp("base") / "bert"
    split = pre_tokenizers.BertPreTokenizer()
    clean = normalizers.BertNormalizer(lowercase=True)
    texts = [one.text for one in written() + from_lexicon()]
    words = {piece for text in texts for piece, _ in split.pre_tokenize_str(clean.normalize_str(text))}
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words)])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = clean, split
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets") / FOLDER
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # the base knows nothing yet, so all of it learns
    card = fine_tune(base, folder, "Apache-2.0", Recipe(head_epochs=2, body_epochs=4, body_rate=3e-3, layers=99))
    torch.set_num_threads(threads)
    return folder, card


def test_the_sentences_are_as_many_for_each_emotion_and_language_and_none_is_held_out_twice():
    learned, held = parted(written())
    for language in Language:
        for emotion in Emotion:
            assert sum(one.emotion is emotion and one.language is language for one in learned) == 8
            assert sum(one.emotion is emotion and one.language is language for one in held) == 2
    assert len({one.text for one in written()}) == len(written())


def test_a_fine_tuned_encoder_tells_emotions_of_sentences_it_has_not_seen(tuned):
    folder, card = tuned
    assert card["accuracy"] > 0.4, "chance is a seventh"
    encoder = load_encoder(folder, installed(folder.parent))
    for one in ("Thank you for everything, thank you.", "谢谢你们，感谢大家。"):
        assert encoder.propose(one, Language.EN_US).emotion is Emotion.GRATEFUL
    found = encoder.propose("I am so sad, I cry with grief and sorrow.", Language.EN_US)
    assert found.emotion is Emotion.SAD
    assert 0.3 <= found.intensity <= 0.95
    assert found.reasons[0].startswith("text encoder")
    assert sum(found.scores.values()) == pytest.approx(1, abs=1e-4)


def test_a_pretrained_encoder_may_stay_frozen_but_for_its_last_layers(base, tmp_path):
    from safetensors.torch import load_file

    fine_tune(base, tmp_path / "new", "Apache-2.0", Recipe(head_epochs=1, body_epochs=1, layers=1))
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "new" / WEIGHTS)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("encoder.layer.") for name in changed), "words are read as the base reads them"


def test_direction_asks_the_encoder_only_where_nobody_marked(tuned):
    encoder = load_encoder(tuned[0])
    lines = [ScriptLine(text="谢谢你们，感谢大家。"), ScriptLine(text="谢谢你们。", emotion=Emotion.PROUD)]
    plan = direct_script(lines, Language.ZH_CN, proposer=encoder.propose)
    assert plan.lines[0].emotion is Emotion.GRATEFUL
    assert plan.lines[0].reasons[0].startswith("text encoder")
    assert plan.lines[1].emotion is Emotion.PROUD
    assert plan.lines[1].reasons == ("marked in the script",)


def test_it_is_read_without_a_network(tuned, monkeypatch):
    def refused(*arguments, **named):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    load_encoder(tuned[0])


def _copy(tuned, target):
    target.mkdir()
    for path in tuned[0].iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_changed_surplus_or_missing_file_is_refused(tuned, tmp_path):
    for number, harm in enumerate(
        (
            lambda folder: (folder / HEAD).write_bytes((folder / HEAD).read_bytes()[:-4] + b"\0\0\0\1"),
            lambda folder: (folder / "more.json").write_text("{}"),
            lambda folder: (folder / WEIGHTS).unlink(),
            lambda folder: (folder / CARD).unlink(),
            lambda folder: (folder / "pytorch_model.bin").write_bytes(b"\x80\x04."),
            lambda folder: (folder / "modeling.py").write_text("raise SystemExit"),
        )
    ):
        folder = _copy(tuned, tmp_path / str(number))
        harm(folder)
        with pytest.raises(ModelRefused):
            load_encoder(folder)


def test_a_configuration_that_brings_code_is_refused_though_its_digest_fits(tuned, tmp_path):
    folder = _copy(tuned, tmp_path / "encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling.Evil"}}))
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {"sha256": file_digests(folder)}))
    with pytest.raises(ModelRefused, match="code of its own"):
        load_encoder(folder)


def test_another_encoder_than_the_order_names_and_one_without_licence_are_refused(tuned, base, tmp_path):
    with pytest.raises(ModelRefused, match="another one"):
        load_encoder(tuned[0], "0" * 64)
    with pytest.raises(InputRefused, match="licence"):
        fine_tune(base, tmp_path / "new", " ")
    with pytest.raises(InputRefused, match="exists"):
        fine_tune(base, tuned[0], "Apache-2.0")
    assert not (tmp_path / "new").exists()


def test_where_none_is_installed_the_lexicon_decides(tmp_path):
    assert installed(tmp_path) == ""
    plan = direct_script([ScriptLine(text="谢谢你们")], Language.ZH_CN)
    assert plan.lines[0].reasons == propose("谢谢你们", Language.ZH_CN).reasons
