
{{if fits}}
{{include image.kt}}

{{include bitmap.kt}}
{{end}}
{{if sized}}
{{include scaled.kt}}
{{end}}
