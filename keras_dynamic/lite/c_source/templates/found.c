{% if not classes %}
  return 0;
{% elif classes == 1 %}
  return outputs->logits[0] > {{ logits.zero }} ? 1 : 0;
{% else %}
  int32_t best = 0;
  for (int32_t k = 1; k < {{ classes }}; k++) {
    best = outputs->logits[k] > outputs->logits[best] ? k : best;
  }
  return best;
{% endif %}
