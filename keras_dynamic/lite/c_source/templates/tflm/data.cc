/* The .tflite, byte for byte. */
extern "C" {
extern const unsigned char {{ name }}_data[];
alignas(16) const unsigned char {{ name }}_data[] = {
{% for row in rows %}
    {{ row }},
{% endfor %}
};
}
