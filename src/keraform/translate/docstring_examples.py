"""Examples for docstrings, one for each task; each runs in Keras as it stands."""

from __future__ import annotations

_TEXT = """\
>>> from transformers import AutoTokenizer
>>> from keraform import {model_class}

>>> tokenizer = AutoTokenizer.from_pretrained("{checkpoint}")
>>> model = {model_class}.from_pretrained("{checkpoint}")
"""

_AUDIO = """\
>>> import numpy as np
>>> from transformers import AutoFeatureExtractor
>>> from keraform import {model_class}

>>> extractor = AutoFeatureExtractor.from_pretrained("{checkpoint}")
>>> model = {model_class}.from_pretrained("{checkpoint}")

>>> second = np.zeros(extractor.sampling_rate, dtype="float32")  # mono, in [-1, 1]
>>> inputs = extractor(second, sampling_rate=extractor.sampling_rate, return_tensors="np")
"""

_IMAGE = """\
>>> from PIL import Image
>>> from transformers import AutoImageProcessor
>>> from keraform import {model_class}

>>> processor = AutoImageProcessor.from_pretrained("{checkpoint}")
>>> model = {model_class}.from_pretrained("{checkpoint}")

>>> inputs = processor(Image.open("cat.png"), return_tensors="np")
"""

_CLASSES = """\
>>> predicted = int(model(inputs).logits.numpy().argmax(-1)[0])
>>> model.config.id2label[predicted]
"""

# The part of a class's name that tells its task, and the example; the first that the name contains
# is taken.
EXAMPLES: dict[str, str] = {
    "SequenceClassification": _TEXT
    + """
>>> inputs = tokenizer("Hello, my dog is cute", return_tensors="np")
"""
    + _CLASSES,
    "QuestionAnswering": _TEXT
    + """
>>> inputs = tokenizer("Who lives here?", "A dog lives here.", return_tensors="np")
>>> outputs = model(inputs)
>>> start = int(outputs.start_logits.numpy().argmax())
>>> end = int(outputs.end_logits.numpy().argmax())
>>> tokenizer.decode(inputs["input_ids"][0, start : end + 1])
""",
    "TokenClassification": _TEXT
    + """
>>> inputs = tokenizer("Paris is in France", return_tensors="np")
>>> classes = model(inputs).logits.numpy().argmax(-1)[0]
>>> [model.config.id2label[int(each)] for each in classes]
""",
    "MultipleChoice": _TEXT
    + """
>>> prompt, choices = "The sky is", ["blue.", "made of wood."]
>>> inputs = tokenizer([prompt] * 2, choices, return_tensors="np", padding=True)
>>> inputs = {{name: value[None] for name, value in inputs.items()}}  # a batch of one
>>> int(model(inputs).logits.numpy().argmax(-1)[0])
""",
    "MaskedLM": _TEXT
    + """
>>> text = f"The capital of France is {{tokenizer.mask_token}}."
>>> inputs = tokenizer(text, return_tensors="np")
>>> logits = model(inputs).logits.numpy()
>>> tokenizer.decode(logits[inputs["input_ids"] == tokenizer.mask_token_id].argmax(-1))
""",
    "LMHead": _TEXT
    + """
>>> inputs = tokenizer("Hello, my dog is cute", return_tensors="np")
>>> outputs = model(inputs, labels=inputs["input_ids"])
>>> outputs.loss, outputs.logits.shape
""",
    "CTC": _AUDIO
    + """
>>> ids = model(inputs).logits.numpy().argmax(-1)  # one class a frame, blanks included
""",
    "AudioClassification": _AUDIO + _CLASSES,
    "ImageClassification": _IMAGE + _CLASSES,
}


def example(class_name: str, checkpoint: str | None) -> str:
    """The example of a class's task with its checkpoint, or nothing where there is none."""
    if checkpoint is None:
        return ""
    task = next((name for name in EXAMPLES if name in class_name), None)
    if task is None:
        return ""
    code = EXAMPLES[task].format(model_class=class_name, checkpoint=checkpoint)
    return f"Example:\n\n```python\n{code.rstrip()}\n```"
