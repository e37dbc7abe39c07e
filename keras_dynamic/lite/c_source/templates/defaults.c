{% for port in settings %}
{% for value in defaults[port.name] %}
  settings->{{ port.name }}[{{ loop.index0 }}] = {{ value }};
{% endfor %}
{% else %}
  settings->none = 0;
{% endfor %}
