//! Tables as Parquet: a row group a seed, columns as in the CSV.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::report::table::{Table, Values};

/// Writes the tables of all seeds one after another. They have the same columns.
pub(super) fn write<'a>(
    mut tables: impl Iterator<Item = Table<'a>>,
    to: &mut (dyn Write + Send),
) -> io::Result<()> {
    let Some(first) = tables.next() else {
        return Ok(());
    };
    let by = format!("antiphon {}", env!("CARGO_PKG_VERSION"));
    let properties = WriterProperties::builder().set_created_by(by).build();
    let schema = Arc::new(schema(&first).map_err(plain)?);
    let writer = SerializedFileWriter::new(to, schema, Arc::new(properties));
    let mut writer = writer.map_err(plain)?;
    for table in core::iter::once(first).chain(tables) {
        group(&mut writer, &table).map_err(plain)?;
    }
    writer.close().map_err(plain)?;
    Ok(())
}

/// What the file system said, if it was that.
fn plain(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

fn schema(table: &Table<'_>) -> Result<Type, ParquetError> {
    let fields: Result<Vec<_>, _> = table
        .columns
        .iter()
        .map(|column| {
            let (physical, converted, repetition) = match column.values {
                Values::Count(_) => (Physical::INT64, ConvertedType::NONE, Repetition::REQUIRED),
                Values::Number(_) => (Physical::DOUBLE, ConvertedType::NONE, Repetition::REQUIRED),
                Values::Maybe(_) => (Physical::DOUBLE, ConvertedType::NONE, Repetition::OPTIONAL),
                Values::Flag(_) => (Physical::BOOLEAN, ConvertedType::NONE, Repetition::REQUIRED),
                Values::Word(_) => (
                    Physical::BYTE_ARRAY,
                    ConvertedType::UTF8,
                    Repetition::REQUIRED,
                ),
            };
            let field = Type::primitive_type_builder(column.name, physical);
            let field = field
                .with_converted_type(converted)
                .with_repetition(repetition);
            field.build().map(Arc::new)
        })
        .collect();
    Type::group_type_builder("row").with_fields(fields?).build()
}

fn group(
    writer: &mut SerializedFileWriter<&mut (dyn Write + Send)>,
    table: &Table<'_>,
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for column in &table.columns {
        let Some(mut to) = group.next_column()? else {
            return Err(ParquetError::General("a column too many".to_owned()));
        };
        column_values(&mut to, &column.values)?;
        to.close()?;
    }
    group.close()?;
    Ok(())
}

fn column_values(
    to: &mut SerializedColumnWriter<'_>,
    values: &Values<'_>,
) -> Result<(), ParquetError> {
    match values {
        Values::Count(values) => {
            // Counts and seeds stay far below 2^63; the type has no unsigned twin.
            let values: Vec<i64> = values.iter().map(|value| *value as i64).collect();
            to.typed::<Int64Type>().write_batch(&values, None, None)?;
        }
        Values::Number(values) => {
            to.typed::<DoubleType>().write_batch(values, None, None)?;
        }
        Values::Maybe(values) => {
            let there: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
            let values: Vec<f64> = values.iter().flatten().copied().collect();
            to.typed::<DoubleType>()
                .write_batch(&values, Some(&there), None)?;
        }
        Values::Flag(values) => {
            to.typed::<BoolType>().write_batch(values, None, None)?;
        }
        Values::Word(values) => {
            let values: Vec<ByteArray> = values
                .iter()
                .map(|word| word.as_bytes().to_vec().into())
                .collect();
            to.typed::<ByteArrayType>()
                .write_batch(&values, None, None)?;
        }
    }
    Ok(())
}
