
{{include image.kt}}

{{include buffered.kt}}
